"""Prediction heads that other projects store under several names for one tensor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .architecture import Architecture


def keep_one_name(
    state: Mapping[str, Tensor], heads: tuple[str, str], alias_prefix: str = ""
) -> dict[str, Tensor]:
    """Drop aliases of the heads under `alias_prefix`, and heads 1, 2, … where all layers share the first.

    Args:
        state: of a Deformable DETR.
        heads: names of the class and box heads, each followed by `.INDEX.`.
        alias_prefix: under which the decoder holds the same heads again.
    """
    result: dict[str, Tensor] = {}
    aliased = tuple(f"{alias_prefix}{head}." for head in heads) if alias_prefix else ()
    for key, tensor in state.items():
        if aliased and key.startswith(aliased):
            result.setdefault(key.removeprefix(alias_prefix), tensor)
        elif not aliased or key.removeprefix(alias_prefix) not in result:
            result[key] = tensor
    refine = any(key.startswith(f"{alias_prefix}{heads[1]}.") for key in state) if alias_prefix else False
    if refine or not _shares_heads(result, heads):
        return result
    later = re.compile(rf"({'|'.join(map(re.escape, heads))})\.[1-9]\d*\.")
    return {key: tensor for key, tensor in result.items() if not later.match(key)}


def _shares_heads(state: Mapping[str, Tensor], heads: Iterable[str]) -> bool:
    """Whether every head equals the first of its kind, bit for bit."""
    for key, tensor in state.items():
        for head in heads:
            match = re.fullmatch(rf"{re.escape(head)}\.\d+\.(.+)", key)
            first = state.get(f"{head}.0.{match.group(1)}") if match else None
            if first is not None and first is not tensor and not torch.equal(first, tensor):
                return False
    return True


def repeat_shared(
    state: Mapping[str, Tensor], heads: tuple[str, str], architecture: Architecture
) -> dict[str, Tensor]:
    """Give every decoder layer its name for a head that all of them share."""
    result = dict(state)
    if architecture.refine:
        return result
    for key, tensor in state.items():
        for head in heads:
            match = re.fullmatch(rf"{re.escape(head)}\.0\.(.+)", key)
            if match:
                for layer in range(1, architecture.num_decoder_layers):
                    result[f"{head}.{layer}.{match.group(1)}"] = tensor
    return result


def add_decoder_aliases(
    state: Mapping[str, Tensor], heads: tuple[str, str], alias_prefix: str, architecture: Architecture
) -> dict[str, Tensor]:
    """The decoder's own names: of the box heads with refinement, of the class heads too with two stages."""
    result = dict(state)
    wanted = tuple(
        f"{head}."
        for head, used in zip(heads, (architecture.two_stage, architecture.refine), strict=True)
        if used
    )
    if wanted:
        result |= {f"{alias_prefix}{key}": tensor for key, tensor in state.items() if key.startswith(wanted)}
    return result
