"""Convolutions and linear layers that end with their activation: oneDNN's operators, for inference on a CPU.

A map is then written once. PyTorch's own modules write it, and read and write it again for the activation,
and once more for a sum. The operators are those that torch.compile puts in. They know no gradients and no
autocast, under which they compute in their weights' dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from ..models.backbones.resnet import ResNet
from ..models.layers.clamp import Clamp
from ..models.layers.convolution import ConvNorm
from ..models.layers.feed_forward import FeedForward
from ..models.layers.ms_deform_attn import MSDeformAttn

# Activations, as the operators call them.
_KINDS = {nn.ReLU: "relu", nn.SiLU: "swish", Clamp: "hardtanh"}


def join_activations(network: nn.Module) -> None:
    """Put oneDNN's operators into a network whose batch norms are folded; nothing where there are none."""
    if not _available():
        return
    for module in list(network.modules()):
        if isinstance(module, ConvNorm):
            _join(module, "conv", module.norm, "activation")
        elif isinstance(module, ResNet):
            _join(module, "conv1", module.bn1, "relu")
            for stage in (child for child in module.children() if isinstance(child, nn.Sequential)):
                for name, block in list(stage.named_children()):
                    if isinstance(block, BasicBlock | Bottleneck) and _is_plain(block):
                        setattr(stage, name, ResidualBlock(block))
        elif isinstance(module, nn.Sequential):
            _join_in_a_row(module)
        elif isinstance(module, FeedForward) and module.activation is F.relu:
            setattr(module, "linear1", LinearActivation(module.linear1, "relu"))  # noqa: B010  of another type
            module.activation = nn.Identity()
        elif isinstance(module, MSDeformAttn):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, LinearActivation(child, "none"))


class ConvActivation(nn.Module):
    """A convolution and its activation."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.convolution, self.activation = convolution, _KINDS[type(activation)]
        self.ends: list[float] = []
        if isinstance(activation, Clamp):
            low, high = activation.low, activation.high
            self.ends = [-math.inf if low is None else low, math.inf if high is None else high]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> as the convolution's."""
        return _convolve(self.convolution, x, self.activation, self.ends)


class LinearActivation(nn.Module):
    """A linear layer and its activation.

    Also without one it is faster on a memory's thousands of rows than PyTorch's, which first fills the result
    with the bias.
    """

    def __init__(self, linear: nn.Linear, activation: str) -> None:
        super().__init__()
        self.linear, self.activation = linear, activation

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        weight, bias = self.linear.weight, self.linear.bias
        return torch.ops.mkldnn._linear_pointwise(x.to(weight.dtype), weight, bias, self.activation, [], "")


class ResidualBlock(nn.Module):
    """A ResNet's block: each convolution with its ReLU, the last one with the shortcut's sum too.

    The result is written over the shortcut. Within a ResNet nobody reads that any more: what a stage returns
    goes into a block of the next one whose shortcut is a convolution.

    Args:
        block: torchvision's, its batch norms folded.
    """

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        names = ("conv1", "conv2", "conv3") if isinstance(block, Bottleneck) else ("conv1", "conv2")
        self.convolutions = nn.ModuleList(getattr(block, name) for name in names)
        self.downsample = block.downsample

    def forward(self, x: Tensor) -> Tensor:
        """As torchvision's."""
        shortcut = x if self.downsample is None else self.downsample(x)
        *first, last = cast(list[nn.Conv2d], list(self.convolutions))
        for convolution in first:
            x = _convolve(convolution, x, "relu")
        return _convolve_and_add(last, x, shortcut)


def _convolve(convolution: nn.Conv2d, x: Tensor, activation: str, numbers: Sequence[float] = ()) -> Tensor:
    c, x = convolution, x.to(convolution.weight.dtype)
    return torch.ops.mkldnn._convolution_pointwise(
        x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, activation, numbers, ""
    )


def _convolve_and_add(convolution: nn.Conv2d, x: Tensor, other: Tensor) -> Tensor:
    """relu(convolution(x) + other), written over `other`."""
    c = convolution
    x, other = x.to(c.weight.dtype), other.to(c.weight.dtype)
    return torch.ops.mkldnn._convolution_pointwise_.binary(
        other, x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, "add", None, "relu", [], ""
    )


def _join(module: nn.Module, convolution: str, norm: nn.Module, activation: str) -> None:
    """Within a module whose norm between the two is folded; a Sequential ends with the convolution."""
    first, after = getattr(module, convolution), getattr(module, activation)
    if not isinstance(norm, nn.Identity) or type(after) not in _KINDS:
        return
    if isinstance(first, nn.Sequential) and len(first) and _is_plain_convolution(first[-1]):
        first[-1] = ConvActivation(cast(nn.Conv2d, first[-1]), after)
    elif _is_plain_convolution(first):
        setattr(module, convolution, ConvActivation(first, after))
    else:
        return
    setattr(module, activation, nn.Identity())


def _join_in_a_row(modules: nn.Sequential) -> None:
    """A convolution and the activation after it; norms between them have become nothing."""
    kept = [name for name, child in modules.named_children() if not isinstance(child, nn.Identity)]
    for name, after in pairwise(kept):
        first, second = getattr(modules, name), getattr(modules, after)
        if _is_plain_convolution(first) and type(second) in _KINDS:
            setattr(modules, name, ConvActivation(first, second))
            setattr(modules, after, nn.Identity())


def _is_plain(block: BasicBlock | Bottleneck) -> bool:
    """Folded, with ReLUs, and nothing else in it."""
    children = {name: child for name, child in block.named_children() if name != "downsample"}
    return all(
        isinstance(child, nn.Identity | nn.ReLU) or _is_plain_convolution(child)
        for child in children.values()
    )


def _is_plain_convolution(module: nn.Module) -> bool:
    plain = isinstance(module, nn.Conv2d) and module.padding_mode == "zeros"
    return plain and not isinstance(module.padding, str)


@cache
def _available() -> bool:
    """Whether this torch has the operators; they are no public ones, so they are tried."""
    x, convolution, linear = torch.ones(1, 1, 2, 2), nn.Conv2d(1, 1, 1), nn.Linear(2, 2)
    try:
        with torch.inference_mode():
            _convolve_and_add(convolution, _convolve(convolution, x, "swish"), x.clone())
            _convolve(convolution, x, "hardtanh", [0.0, 1.0])
            LinearActivation(linear, "relu")(x)
    except (RuntimeError, AttributeError, TypeError):
        return False
    return True
