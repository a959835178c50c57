"""detr-kit: train, evaluate and run DETR and Deformable DETR."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .inference import Detections, Detector
    from .zoo import build_network

_HOMES = {"Detections": "inference", "Detector": "inference", "build_network": "zoo"}

__all__ = ["Detections", "Detector", "build_network"]


def __getattr__(name: str) -> Any:
    """Import where it is used first: the command line answers before torch is there."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
