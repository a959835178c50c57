"""ResNet-D: a deeper stem, and shortcuts that lose nothing (He et al. 2019, "Bag of Tricks", figure 2)."""

from __future__ import annotations

from typing import cast

from torch import nn
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
        pool = nn.AvgPool2d(2, ceil_mode=True) if first.stride == 2 else nn.Identity()
        shortcut = _convolution(first.conv1.in_channels, last.out_channels, 1, 1, norm)
        first.downsample = nn.Sequential(pool, *shortcut)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _convolution(
    in_channels: int, out_channels: int, size: int, stride: int, norm: type[nn.Module]
) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)
    return convolution, norm(out_channels)
