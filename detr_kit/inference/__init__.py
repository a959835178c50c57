"""Images in, detections out: the Detector and what it shares with exported models."""

from .detections import Detections
from .detector import Detector, choose_device
from .predictor import Predictor

__all__ = ["Detections", "Detector", "Predictor", "choose_device"]
