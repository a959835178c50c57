"""detr-kit: train, evaluate and run DETR and Deformable DETR."""

__version__ = "0.1.0"
