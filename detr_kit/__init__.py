"""detr-kit: train, evaluate and run DETR and Deformable DETR."""

from typing import TYPE_CHECKING

from .lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .fine_tune import Trained, train
    from .inference import Detections, Detector
    from .zoo import build_network
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "fine_tune": ["Trained", "train"],
            "inference": ["Detections", "Detector"],
            "zoo": ["build_network"],
        },
    )

__all__ = ["Detections", "Detector", "Trained", "build_network", "train"]
