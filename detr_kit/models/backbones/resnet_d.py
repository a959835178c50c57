"""ResNet-D: a deeper stem, and shortcuts that lose nothing (He et al. 2019, "Bag of Tricks", figure 2)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck


def make_resnet_d(network: ResNet) -> None:
    """Turn torchvision's ResNet into a ResNet-D, in place.

    As RT-DETR has it: every stage projects its first shortcut, the first stage of basic blocks too.
    """
    norm = type(network.bn1)
    network.conv1 = nn.Sequential(
        *_convolution(3, 32, 3, 2, norm), nn.ReLU(inplace=True),
        *_convolution(32, 32, 3, 1, norm), nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
    )  # fmt: skip
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        first = cast(BasicBlock | Bottleneck, stage[0])
        last = first.conv3 if isinstance(first, Bottleneck) else first.conv2
        pool = _HalfSize() if first.stride == 2 else nn.Identity()
        shortcut = _convolution(first.conv1.in_channels, last.out_channels, 1, 1, norm)
        first.downsample = nn.Sequential(pool, *shortcut)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _HalfSize(nn.Module):
    """Means of 2 × 2 pixels, at the far edges of an odd map of those that there are."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ⌈H / 2⌉, ⌈W / 2⌉)."""
        if torch.compiler.is_compiling():
            # The same, for an exporter that cannot prove of a free size what ceil_mode asks of it.
            return F.avg_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2)
        return F.avg_pool2d(x, 2, ceil_mode=True)


def _convolution(
    in_channels: int, out_channels: int, size: int, stride: int, norm: type[nn.Module]
) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)
    return convolution, norm(out_channels)
