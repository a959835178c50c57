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
from .coco import CocoDataset
from .collate import multi_scale_collate, pad_collate
from .detection_dataset import Sample
from .image_io import decode_image, read_image
from .sampler import Draw, EpochSampler
from .shapes import write_shapes
from .shards.dataset import ShardDataset
from .shards.sampler import ShardSampler
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
    "ShardDataset",
    "ShardSampler",
    "decode_image",
    "multi_scale_collate",
    "pad_collate",
    "read_image",
    "write_shapes",
]
