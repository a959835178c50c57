"""detr-kit: train, evaluate and run DETR and Deformable DETR."""

from typing import TYPE_CHECKING

from .lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .inference import Detections, Detector
    from .zoo import build_network
else:
    __getattr__, __dir__ = lazy_names(
        __name__, {"inference": ["Detections", "Detector"], "zoo": ["build_network"]}
    )

__all__ = ["Detections", "Detector", "build_network"]
