"""From pixels to what the networks read."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..pixel_scale import IMAGENET, PixelScale
from ..structures import ImageBatch


def normalize_batch(batch: ImageBatch, scale: PixelScale = IMAGENET) -> ImageBatch:
    """uint8 RGB -> float32, exactly zero on padding, on the batch's own device.

    Args:
        batch: to normalise.
        scale: of the network, see `pixel_scale_of`.

    Raises:
        ValueError: the images are not uint8.
    """
    if batch.images.is_floating_point():
        raise ValueError("normalize_batch takes uint8 images in 0 … 255; these are normalised already")
    images = batch.images.float().div_(255)
    mean, std = (images.new_tensor(values)[:, None, None] for values in scale)
    images = images.sub_(mean).div_(std).masked_fill_(batch.padding_mask[:, None], 0)
    return replace(batch, images=images)


def drop_mask_without_padding(batch: ImageBatch) -> Tensor | None:
    """The padding mask, or None where no image of the batch is padded: attention then skips it.

    The targets' sizes tell, so that nothing is copied from the device.
    """
    full = tuple(batch.images.shape[-2:])
    return None if all(target.size == full for target in batch.targets) else batch.padding_mask
