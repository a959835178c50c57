"""Images in, detections out: the Detector and what it shares with exported models."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .detections import Detections
    from .detector import Detector, choose_device
    from .predictor import Predictor
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "detections": ["Detections"],
            "detector": ["Detector", "choose_device"],
            "predictor": ["Predictor"],
        },
    )

__all__ = ["Detections", "Detector", "Predictor", "choose_device"]
