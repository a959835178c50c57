"""Data sets, augmentation, batching, and the embedded demo set."""

from .augmentation import (
    CopyPaste,
    CutOut,
    HSVJitter,
    LargeScaleJitter,
    MixUp,
    Mosaic,
    RandomQuarterTurn,
    RandomWarp,
)
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
    "CopyPaste",
    "CutOut",
    "Draw",
    "EpochSampler",
    "HSVJitter",
    "LargeScaleJitter",
    "MixUp",
    "Mosaic",
    "RandomChoice",
    "RandomQuarterTurn",
    "RandomSizeCrop",
    "RandomWarp",
    "ResizeShortestSide",
    "Sample",
    "decode_image",
    "multi_scale_collate",
    "pad_collate",
    "read_image",
    "write_shapes",
]
