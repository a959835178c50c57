"""Images of unequal size become one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..registry import FUNCTIONS
from ..structures import ImageBatch
from .coco import Sample


@FUNCTIONS.register_module()
def pad_collate(samples: Sequence[Sample]) -> ImageBatch:
    """Pad to the largest height and width of the batch, at the right and at the bottom.

    Returns:
        images (B, 3, H, W) in the samples' dtype, zero on padding, and padding_mask (B, H, W).
    """
    height = max(sample.image.shape[-2] for sample in samples)
    width = max(sample.image.shape[-1] for sample in samples)
    images = samples[0].image.new_zeros(len(samples), 3, height, width)
    mask = torch.ones(len(samples), height, width, dtype=torch.bool)
    for i, sample in enumerate(samples):
        h, w = sample.image.shape[-2:]
        images[i, :, :h, :w] = sample.image
        mask[i, :h, :w] = False
    skipped = [message for sample in samples for message in sample.skipped]
    return ImageBatch(images, mask, [sample.target for sample in samples], skipped)
