"""RepVGG blocks: two branches while training, one convolution afterwards (Ding et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import ConvNorm
from .fuse import folded


class RepVGGBlock(nn.Module):
    """A 3×3 and a 1×1 convolution, each with its norm, whose sum is activated; RT-DETR's, without identity.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 3)
        self.conv2 = ConvNorm(channels, channels, 1)
        self.activation = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same."""
        return self.activation(self.conv1(x) + self.conv2(x))

    @torch.no_grad()
    def fused(self) -> nn.Module:
        """The same function, in evaluation, as one 3×3 convolution."""
        (weight, bias), (point, shift) = (
            folded(branch.conv, branch.norm) for branch in (self.conv1, self.conv2)
        )
        total = weight + F.pad(point, (1, 1, 1, 1))
        channels = len(total)
        convolution = nn.Conv2d(channels, channels, 3, padding=1).to(self.conv1.conv.weight)
        convolution.weight.copy_(total)
        convolution.bias.copy_(bias + shift)  # type: ignore[union-attr]
        return nn.Sequential(convolution, self.activation)


class CSPRepLayer(nn.Module):
    """RepVGG blocks on one of two branches, which are added (RT-DETR's cross-stage partial layer).

    Args:
        in_channels, out_channels: of the layer.
        hidden: channels of the branches; where they are not out_channels another convolution widens the sum.
        num_blocks: RepVGG blocks one after the other.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden: int, num_blocks: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, hidden, activation=nn.SiLU)
        self.conv2 = ConvNorm(in_channels, hidden, activation=nn.SiLU)
        self.blocks = nn.Sequential(*(RepVGGBlock(hidden) for _ in range(num_blocks)))
        self.conv3: nn.Module = nn.Identity()
        if hidden != out_channels:
            self.conv3 = ConvNorm(hidden, out_channels, activation=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        return self.conv3(self.blocks(self.conv1(x)) + self.conv2(x))
