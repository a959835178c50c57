"""Augmentation that transforms.v2 does not have: several pictures in one, boxes by what is left in sight."""

from .albumentations_pipeline import Albumentations
from .copy_paste import CopyPaste
from .cut_out import CutOut
from .hsv_jitter import HSVJitter
from .large_scale_jitter import LargeScaleJitter
from .mix_up import MixUp
from .mosaic import Mosaic
from .quarter_turn import RandomQuarterTurn
from .warp import RandomWarp

__all__ = [
    "Albumentations",
    "CopyPaste",
    "CutOut",
    "HSVJitter",
    "LargeScaleJitter",
    "MixUp",
    "Mosaic",
    "RandomQuarterTurn",
    "RandomWarp",
]
