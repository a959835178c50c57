"""The padding mask at the size of a feature map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_mask(padding_mask: Tensor | None, images: Tensor, features: Tensor) -> Tensor:
    """Nearest-neighbour mask for a map, as in the original code; all False without a mask.

    Args:
        padding_mask: (B, H, W) bool, or None.
        images: (B, 3, H, W), checked against the mask.
        features: (B, C, h, w).

    Returns:
        (B, h, w) bool.

    Raises:
        ValueError: the mask is not (B, H, W) of the images.
    """
    height, width = features.shape[-2:]
    if padding_mask is None:
        return torch.zeros(features.shape[0], height, width, dtype=torch.bool, device=features.device)
    if padding_mask.shape != (images.shape[0], *images.shape[-2:]):
        raise ValueError(
            f"padding_mask is {tuple(padding_mask.shape)}, images are {tuple(images.shape)}; "
            "the mask must be (B, H, W) of the images, True on padding"
        )
    return F.interpolate(padding_mask[None].float(), size=(height, width))[0].bool()
