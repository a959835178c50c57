"""An exported file, used like a Detector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torchvision.transforms import v2

from ..data.normalize import normalize_batch
from ..errors import InputError
from ..inference import Predictor
from ..pixel_scale import PixelScale
from ..registry import MODELS, TRANSFORMS, build
from ..structures import DetectorOutput, ImageBatch, Prediction
from .metadata import ExportMetadata
from .onnx_format import OnnxFile
from .openvino_format import OpenVinoModel
from .options import ENDINGS
from .torch_format import AotiPackage, TorchProgram


class ExportedModel(Protocol):
    """What each format offers."""

    metadata: ExportMetadata

    @property
    def layers(self) -> Callable[..., dict[str, Tensor]] | None:
        """Inputs -> output of every layer by name; None where the format does not show them."""

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run."""


READERS: dict[str, Callable[[Path], ExportedModel]] = {  # by format
    "onnx": OnnxFile,
    "torch-export": TorchProgram,
    "aoti": AotiPackage,
    "openvino": OpenVinoModel,
}


def open_exported(path: str | Path) -> ExportedModel:
    """Read an exported file; its ending says what it is.

    Raises:
        InputError: no such file, an unknown ending, or a file that detr-kit has not written.
    """
    path = Path(path).expanduser()
    readers = {ending: READERS[format] for format, ending in ENDINGS.items()}
    if path.suffix not in readers:
        raise InputError(f"{path}: an exported file ends in {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return readers[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # each runtime has its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: it cannot be read as {path.suffix}: {reason}; export it anew") from error


class ExportedDetector(Predictor):
    """Finds objects in images with an exported file: called as Detector is, with the same Detections.

    Class names, category ids, image sizes and normalisation come from the file.

    Args:
        path: .onnx, .pt2 (torch.export), .aoti or .xml (OpenVINO).

    Attributes:
        model: the opened file.
        metadata: what the file says of itself.

    Raises:
        InputError: see `open_exported`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.model = open_exported(path)
        self.metadata = self.model.metadata
        self.device = torch.device("cpu")
        self.categories = self.metadata.categories
        self.transforms = self._transforms()
        self.postprocessor = build(dict(self.metadata.postprocessor), MODELS)

    def __repr__(self) -> str:
        what = f"{self.metadata.architecture} in {self.metadata.precision}"
        return f"ExportedDetector({self.path}: {what}, {len(self.class_names)} classes)"

    def settings(self) -> dict[str, Any]:
        """See Predictor."""
        found = hashlib.blake2b(digest_size=8)
        for part in (self.path, self.path.with_suffix(".bin")):  # OpenVINO keeps its weights beside
            found.update(part.read_bytes() if part.is_file() else b"")
        return {"weights": found.hexdigest()}

    def _transforms(self) -> v2.Transform:
        steps = build([dict(config) for config in self.metadata.transforms], TRANSFORMS)
        if self.metadata.static_size is not None:
            steps = [*steps, v2.Resize(self.metadata.static_size, antialias=True)]
        return v2.Compose(steps or [v2.Identity()])

    def inputs(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) uint8 -> the file's inputs."""
        mask = torch.zeros(pixels.shape[0], *pixels.shape[-2:], dtype=torch.bool)
        scale = PixelScale(tuple(self.metadata.mean), tuple(self.metadata.std))
        images = normalize_batch(ImageBatch(pixels, mask), scale).images
        return (images, mask) if self.metadata.padding_mask else (images,)

    def predict_batch(self, pixels: Tensor, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """See Predictor."""
        return self.finish(self.model(*self.inputs(pixels)), original_sizes)

    def finish(
        self, outputs: tuple[Tensor, ...], original_sizes: Sequence[tuple[int, int]]
    ) -> list[Prediction]:
        """The file's outputs -> detections in pixels."""
        if not self.metadata.postprocess:
            return self.postprocessor(DetectorOutput(outputs[0], outputs[1], []), original_sizes)
        return [
            self.postprocessor.without_duplicates(
                Prediction(s, c, b * b.new_tensor([width, height, width, height]))
            )
            for s, c, b, (height, width) in zip(*outputs, original_sizes, strict=True)
        ]
