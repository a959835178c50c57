"""detr-kit: train, evaluate and run DETR and Deformable DETR."""

__version__ = "0.1.0"

from .detections import Detections
from .inference import Detector
from .zoo import build_network

__all__ = ["Detections", "Detector", "build_network"]
