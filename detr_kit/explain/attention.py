"""What the decoder's cross-attention attended to, computed again from its inputs.

Networks keep no attention weights: torch's and our own kernels never make them. Here they follow from what
went into each layer, for one query, so that the models stay as they are and as fast as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..models.layers.attention import MultiheadAttention
from ..models.layers.conditional_attention import ConditionalCrossAttention
from ..models.layers.ms_deform_attn import MSDeformAttn


@dataclass
class DeformableAttention:
    """The sampling points of one query in each decoder layer; CPU float32.

    Attributes:
        points: (layers, heads, maps, points, 2) normalised (x, y); outside [0, 1] a point reads nothing.
        weights: (layers, heads, maps, points), summing to 1 over a head of a layer.
        levels: the feature level of each map; one with more points than others is several maps.
        references: for each layer the point (2,) or the cxcywh box (4,) it started from, normalised.
    """

    points: Tensor
    weights: Tensor
    levels: tuple[int, ...]
    references: list[Tensor]


@dataclass
class GlobalAttention:
    """The attention maps of one query in each decoder layer; CPU float32.

    Attributes:
        maps: (layers, heads, h, w) over the feature map, summing to 1 over a head of a layer.
    """

    maps: Tensor


Attention = DeformableAttention | GlobalAttention
_Global = MultiheadAttention | ConditionalCrossAttention


@contextmanager
def recorded_inputs(modules: Sequence[nn.Module]) -> Iterator[list[tuple[Any, ...]]]:
    """The positional inputs of each call of the modules, in the order of the calls."""
    calls: list[tuple[Any, ...]] = []
    handles = [m.register_forward_pre_hook(lambda _, args: calls.append(args)) for m in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def attention_of(
    modules: Sequence[nn.Module],
    calls: Sequence[tuple[Any, ...]],
    query: int,
    map_size: tuple[int, int],
) -> Attention:
    """What a query of the first image attended to in each decoder layer, as its kind of attention shows it.

    Args:
        modules: the layers' cross-attentions; calls: their recorded inputs.
        map_size: (h, w) of the feature map whose pixels are the keys, where there is only one.

    Raises:
        InputError: attention of another kind.
    """
    if all(isinstance(module, MSDeformAttn) for module in modules):
        return deformable_attention(cast(Sequence[MSDeformAttn], modules), calls, query)
    if all(isinstance(module, MultiheadAttention | ConditionalCrossAttention) for module in modules):
        return global_attention(cast(Sequence[_Global], modules), calls, query, map_size)
    kinds = ", ".join(sorted({type(module).__name__ for module in modules}))
    raise InputError(f"explain: cross-attention of the kind {kinds} cannot be shown")


def deformable_attention(
    modules: Sequence[MSDeformAttn], calls: Sequence[tuple[Any, ...]], query: int
) -> DeformableAttention:
    """Sampling points and weights of a query of the first image, from the recorded inputs."""
    points, weights, references = [], [], []
    for module, (x, reference, _, shapes, *_) in zip(modules, calls, strict=True):
        x, reference = x[:1, query : query + 1], reference[:1, query : query + 1].float()
        locations, shares = module.points_of(x, reference, shapes)
        points.append(locations[0, 0])
        weights.append(shares[0, 0])
        references.append(reference[0, 0, 0].cpu())  # without padding the same on every level
    return DeformableAttention(
        torch.stack(points).cpu(), torch.stack(weights).cpu(), modules[0].levels, references
    )


def global_attention(
    modules: Sequence[_Global],
    calls: Sequence[tuple[Any, ...]],
    query: int,
    map_size: tuple[int, int],
) -> GlobalAttention:
    """Attention maps of a query of the first image, from the recorded inputs.

    Args:
        map_size: (h, w) of the feature map whose pixels are the keys.
    """
    maps = []
    for module, inputs in zip(modules, calls, strict=True):
        q, k = (t[0].float() for t in module.queries_and_keys(*inputs))
        logits = torch.einsum("mc,msc->ms", q[:, query], k) / q.shape[-1] ** 0.5
        maps.append(logits.softmax(-1).unflatten(-1, map_size))
    return GlobalAttention(torch.stack(maps).cpu())
