"""Batch norm becomes part of the convolution before it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy of a network in which every normalisation that follows a convolution of its module is folded.

    Pairs are found by torchvision's names: convN with bnN, and the two members of a downsample branch. Half
    precision and INT8 then see weights of one scale, and no backend has to find the pairs by itself.
    """
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        children = dict(module.named_children())
        pairs = [(name, name.replace("conv", "bn")) for name in children if name.startswith("conv")]
        if isinstance(module, nn.Sequential):
            pairs = [("0", "1")]
        for first, second in pairs:
            convolution, norm = children.get(first), children.get(second)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
                _fold(convolution, norm)
                setattr(module, second, nn.Identity())
    return network


@torch.no_grad()
def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    scale = norm.weight.double() * (variance.double() + norm.eps).rsqrt()
    bias = torch.zeros_like(scale) if convolution.bias is None else convolution.bias.double()
    weight = convolution.weight.double() * scale[:, None, None, None]
    convolution.weight.copy_(weight.to(convolution.weight.dtype))
    shift = norm.bias.double() + (bias - mean.double()) * scale
    convolution.bias = nn.Parameter(shift.to(convolution.weight.dtype))
