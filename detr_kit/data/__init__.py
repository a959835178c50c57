"""Data sets, augmentation, batching, and the embedded demo set."""

from .batch_sampler import AspectRatioBatchSampler
from .coco import CocoDataset, Sample
from .collate import multi_scale_collate, pad_collate
from .image_io import decode_image, read_image
from .sampler import Draw, EpochSampler
from .shapes import write_shapes
from .transforms import RandomChoice, RandomSizeCrop, ResizeShortestSide

__all__ = [
    "AspectRatioBatchSampler",
    "CocoDataset",
    "Draw",
    "EpochSampler",
    "RandomChoice",
    "RandomSizeCrop",
    "ResizeShortestSide",
    "Sample",
    "decode_image",
    "multi_scale_collate",
    "pad_collate",
    "read_image",
    "write_shapes",
]
