"""A detector for a server, whatever it is stored as."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..inference import Detector


def open_detector(
    model: str | Path | None = None, checkpoint: str | Path | None = None, device: str | None = None
) -> Detector:
    """A Detector that has run once, so that a server is as fast at its first request as later.

    Args:
        model: a config's name or path; None finds it by the weights.
        checkpoint: as the Detector takes it; None is the shapes detector that comes with detr-kit.
        device: "cpu", "cuda", …; None for a GPU where there is one.

    Raises:
        InputError: no such model or checkpoint, or the two do not belong together.
    """
    detector = Detector(model, checkpoint=checkpoint or "builtin", device=device)
    detector(np.full((96, 128, 3), 128, np.uint8))
    return detector
