"""D-FINE's hybrid encoder: RT-DETR's with cheaper fusion and downsampling (Peng et al. 2025, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.convolution import ConvNorm
from ..layers.rep_vgg import CSPRepLayer
from .hybrid_encoder import HybridEncoder


class RepNCSPELAN4(nn.Module):
    """Half of the input goes through two CSP layers in a row, and all parts are joined (YOLOv9's GELAN).

        conv1 ─┬─ first half ───────────────────────────┐
               └─ second half ─┬────────────────────────┤
                               └ csp1, conv2 ─┬─────────┼─ join ─ conv4
                                              └ csp2, conv3 ┘

    Args:
        channels: the input has twice as many, the output these.
        hidden: channels of the CSP layers.
        num_blocks: RepVGG blocks of each.
    """

    def __init__(self, channels: int, hidden: int, num_blocks: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(2 * channels, 2 * channels, activation=nn.SiLU)
        self.csp1 = CSPRepLayer(channels, hidden, hidden, num_blocks)
        self.conv2 = ConvNorm(hidden, hidden, 3, activation=nn.SiLU)
        self.csp2 = CSPRepLayer(hidden, hidden, hidden, num_blocks)
        self.conv3 = ConvNorm(hidden, hidden, 3, activation=nn.SiLU)
        self.conv4 = ConvNorm(2 * channels + 2 * hidden, channels, activation=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 · channels, H, W) -> (B, channels, H, W)."""
        joined = self.conv1(x)
        first = self.conv2(self.csp1(joined.chunk(2, dim=1)[1]))
        second = self.conv3(self.csp2(first))
        return self.conv4(torch.cat((joined, first, second), dim=1))


class SCDown(nn.Module):
    """Half the size: across channels by 1×1, across space by a depthwise 3×3, neither activated (YOLOv10)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels)
        self.conv2 = ConvNorm(channels, channels, 3, 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, ⌈H / 2⌉, ⌈W / 2⌉)."""
        return self.conv2(self.conv1(x))


@MODELS.register_module()
class ElanHybridEncoder(HybridEncoder):
    """HybridEncoder with RepNCSPELAN4, SCDown, and lateral convolutions that are not activated."""

    def _lateral(self) -> nn.Module:
        return ConvNorm(self.out_channels, self.out_channels)

    def _downsample(self) -> nn.Module:
        return SCDown(self.out_channels)

    def _fusion(self) -> nn.Module:
        return RepNCSPELAN4(self.out_channels, self.fusion_channels, self.fusion_blocks)
