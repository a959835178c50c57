"""A network for inference: what was apart for training alone becomes one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

BatchNorm: TypeAlias = nn.BatchNorm2d | FrozenBatchNorm2d


@runtime_checkable
class Fusible(Protocol):
    """A module with a simpler equal for evaluation."""

    def fused(self) -> nn.Module:
        """The equal, with tensors of its own."""


def fuse(network: nn.Module, *, share: bool = False) -> nn.Module:
    """A copy of a network with the same outputs in evaluation, up to rounding, and less to compute.

    Modules with a `fused` are replaced by what it gives. Every batch norm that follows a convolution is
    folded into it: half precision and INT8 then see weights of one scale, and no backend has to find pairs.

    Args:
        network: left as it is.
        share: tensors that stay the same are the network's own; for a copy that is not changed.
    """
    shared = (*network.parameters(), *network.buffers()) if share else ()
    network = copy.deepcopy(network, {id(tensor): tensor for tensor in shared})
    _replace_fusible(network)
    for module in list(network.modules()):
        for convolution, name in _pairs(module):
            norm = getattr(module, name)
            weight, bias = folded(convolution, norm)
            convolution.weight = nn.Parameter(weight, convolution.weight.requires_grad)
            convolution.bias = nn.Parameter(bias, convolution.weight.requires_grad)
            setattr(module, name, nn.Identity())
    return network


@torch.no_grad()
def folded(convolution: nn.Conv2d, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that equals a convolution and the batch norm after it."""
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    scale = norm.weight.double() * (variance.double() + norm.eps).rsqrt()
    bias = torch.zeros_like(scale) if convolution.bias is None else convolution.bias.double()
    weight = convolution.weight.double() * scale[:, None, None, None]
    shift = norm.bias.double() + (bias - mean.double()) * scale
    return weight.to(convolution.weight.dtype), shift.to(convolution.weight.dtype)


def _replace_fusible(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Fusible):
            setattr(module, name, child.fused())
        else:
            _replace_fusible(child)


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Conv2d, str]]:
    """A convolution and the name of the norm that follows it.

    Within a Sequential the order tells. Elsewhere names do, torchvision's convN with bnN and our conv with
    norm; a Sequential of that name ends with the convolution.
    """
    children = dict(module.named_children())
    names = list(pairwise(children)) if isinstance(module, nn.Sequential) else []
    names += [(n, n.replace("conv", second)) for n in children for second in ("bn", "norm") if "conv" in n]
    for first, second in names:
        convolution, norm = children[first], children.get(second)
        if isinstance(convolution, nn.Sequential) and len(convolution):
            convolution = convolution[-1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, BatchNorm):
            yield convolution, second
