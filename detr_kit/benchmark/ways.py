"""The ways in which a detector can be run, each as a Predictor."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..export import ExportedDetector, ExportOptions, export_detector
from ..export.options import ENDINGS
from ..inference import Detector, Predictor
from ..inference.detector import HALF
from ..ops import backend_report
from ..structures import Prediction

MakeDetector = Callable[..., Detector]
"""half=…, compile=… -> a Detector of the model in question."""


class EagerDetector(Predictor):
    """The network as it was built: nothing folded, kept or laid out anew."""

    def __init__(self, detector: Detector) -> None:
        self.detector, self.device, self.transforms = detector, detector.device, detector.transforms
        self.categories = detector.categories

    def settings(self) -> dict[str, Any]:
        """See Predictor."""
        return self.detector.settings()

    def predict_batch(self, pixels: Tensor, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """See Predictor."""
        output = self.detector.network(self.detector.inputs(pixels), None)
        return self.detector.postprocessor(output, original_sizes)


def make_way(way: str, detector: Detector, make: MakeDetector, folder: Path) -> Predictor:
    """A detector, run another way.

    Args:
        way: of `options.WAYS`.
        detector: float32, as the Detector is by itself: that is channels_last.
        make: a further one of the same weights.
        folder: where exported files may be written.

    Raises:
        InputError: a missing package, or what the Detector and an export refuse. Compilers and runtimes have
            errors of their own.
    """
    if way in ENDINGS:
        path = folder / f"exported{ENDINGS[way]}"
        with warnings.catch_warnings():
            # The exporters speak of their own internals; what matters comes as an error.
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            # In PyTorch the operator is there; other runtimes know none of ours.
            op = "native" if way == "torch-export" and _native_op() else "reference"
            return ExportedDetector(export_detector(detector, path, ExportOptions(way, op=op)))
    return {
        "eager": lambda: EagerDetector(detector),
        "channels_last": lambda: detector,
        "bf16": lambda: make(half="bf16"),
        "fp16": lambda: make(half="fp16"),
        "compile": lambda: make(compile=True),
    }[way]()


def precision_of(way: str, predictor: Predictor) -> str:
    """ "fp32", "bf16", "fp16" or "int8", in which a predictor computes."""
    if isinstance(predictor, ExportedDetector):
        return predictor.metadata.precision
    return way if way in HALF else "fp32"


def _native_op() -> bool:
    return any(row["device"] == "cpu" and row["backend"] == "native" for row in backend_report())
