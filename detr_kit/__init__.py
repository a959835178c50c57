"""detr-kit: train, evaluate and run DETR and Deformable DETR."""

from .models.build import build_network

__version__ = "0.1.0"

__all__ = ["build_network"]
