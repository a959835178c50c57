"""A detector for a server, whatever it is stored as."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..export import ExportedDetector
from ..export.exported_detector import FORMATS
from ..inference import Detector, Predictor

EXPORTED = {ending for ending, _ in FORMATS.values()}


def open_detector(
    model: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    half: str | None = None,
) -> Predictor:
    """A detector that has run once, so that a server is as fast at its first request as later.

    Args:
        model: a config's name or path; None finds it by the weights.
        checkpoint: as the Detector takes it, or a file of `detr-kit export`; None is the shapes detector that
            comes with detr-kit.
        device, half: as the Detector takes them; an exported file has brought its own.

    Raises:
        InputError: no such model or checkpoint, or the two do not belong together.
    """
    detector: Predictor
    if Path(checkpoint or "").suffix in EXPORTED:
        if model or device or half:
            raise InputError(f"{checkpoint}: leave out --model, --device and --half; the file has its own")
        detector = ExportedDetector(str(checkpoint))
    else:
        detector = Detector(model, checkpoint or "builtin", device, half=half)
    detector(np.full((96, 128, 3), 128, np.uint8))
    return detector
