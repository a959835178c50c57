"""Shifted windows of a Swin Transformer over maps of any size, as detectors have them (Liu et al. 2021)."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def pad_before_shifting(network: nn.Module) -> None:
    """Have timm's blocks pad a map to whole windows before they shift it, in place.

    timm shifts first: where windows do not fit, as in classification they always do, the last rows of a map
    then attend to its first. The original detectors pad first.
    """
    from timm.models.swin_transformer import SwinTransformerBlock

    for module in network.modules():
        if type(module) is SwinTransformerBlock:
            module.__class__ = _padding_block()  # what belongs to an instance alone, copies would share


@cache
def _padding_block() -> Any:
    from timm.models.swin_transformer import SwinTransformerBlock

    class PaddingSwinBlock(SwinTransformerBlock):
        """A block of timm's; where windows fit it is no other."""

        def _attn(self, x: Tensor) -> Any:
            """x (B, H, W, C) -> (B, H, W, C)."""
            height, width = x.shape[1:3]
            below, right = -height % self.window_size[0], -width % self.window_size[1]
            return super()._attn(F.pad(x, (0, 0, 0, right, 0, below)))[:, :height, :width]

    return PaddingSwinBlock
