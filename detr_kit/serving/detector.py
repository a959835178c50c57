"""A detector for a server, whatever it is stored as."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.location import BUILTIN, default_checkpoint, existing_checkpoint
from ..config import find_config
from ..errors import InputError
from ..export.options import ENDINGS

if TYPE_CHECKING:
    from ..inference import Predictor


def open_detector(
    model: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    half: str | None = None,
) -> Predictor:
    """A detector that has run once, so that a server is as fast at its first request as later.

    Args:
        model: a config's name or path; None finds it by the weights.
        checkpoint: as the Detector takes it, or a file of `detr-kit export`; None is the model's published
            weights, and without a model the shapes detector that comes with detr-kit.
        device, half: as the Detector takes them; an exported file has brought its own.

    Raises:
        InputError: no such model or checkpoint, or the two do not belong together.
    """
    check_detector(model, checkpoint, device, half)

    import numpy as np

    from ..export import ExportedDetector
    from ..inference import Detector

    detector: Predictor
    if _is_exported(checkpoint):
        detector = ExportedDetector(str(checkpoint))
    else:
        detector = Detector(model, checkpoint or _default(model), device, half=half)
    detector(np.full((96, 128, 3), 128, np.uint8))
    return detector


def check_detector(
    model: str | Path | None, checkpoint: str | Path | None, device: str | None, half: str | None
) -> None:
    """What can be said of `open_detector`'s arguments before anything is read.

    Raises:
        InputError: no such model or checkpoint, or the two do not belong together.
    """
    if _is_exported(checkpoint):
        if model or device or half:
            raise InputError(f"{checkpoint}: leave out --model, --device and --half; the file has its own")
        if not Path(str(checkpoint)).expanduser().is_file():
            raise InputError(f"{checkpoint}: no such file")
    else:
        if model is not None:
            find_config(model)
        existing_checkpoint(checkpoint or _default(model))


def _default(model: str | Path | None) -> str:
    return BUILTIN if model is None else default_checkpoint(model)


def _is_exported(checkpoint: str | Path | None) -> bool:
    return Path(checkpoint or "").suffix in ENDINGS.values()
