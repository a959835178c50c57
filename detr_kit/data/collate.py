"""Images become one batch: padded, or for some recipes all of one size that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from ..registry import FUNCTIONS
from ..structures import ImageBatch
from .detection_dataset import Sample
from .seeding import mix_seeds


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


@FUNCTIONS.register_module()
def multi_scale_collate(
    samples: Sequence[Sample], sizes: Sequence[int], until_epoch: int | None = None
) -> ImageBatch:
    """`pad_collate`, and in training the whole batch resized to a square (RT-DETR's code: nearest pixels).

    The size follows from the first sample's draw, so that a resumed run goes on with the same ones.

    Args:
        samples: of the batch.
        sizes: candidates for the side, pixels; one that is there twice is drawn twice as often.
        until_epoch: the first epoch, counted from 0, whose batches keep their size; None for none.
    """
    batch, draw = pad_collate(samples), samples[0].draw
    if draw is None or (until_epoch is not None and draw.epoch >= until_epoch):
        return batch
    size = sizes[mix_seeds(draw.seed, 1) % len(sizes)]
    height, width = batch.images.shape[-2:]
    targets = [
        replace(t, size=(round(t.size[0] * size / height), round(t.size[1] * size / width)))
        for t in batch.targets
    ]
    return ImageBatch(
        F.interpolate(batch.images, (size, size)),
        F.interpolate(batch.padding_mask[None].byte(), (size, size))[0].bool(),
        targets,
        batch.skipped,
    )
