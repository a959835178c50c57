"""Necks whose levels above the backbone's are apart, as in mmdetection and detrex."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor


def number_levels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """neck.extra_convs.0 -> neck.convs.N after the N levels of the backbone."""
    maps = len({key.split(".")[2] for key in state if key.startswith("neck.convs.")})
    return {
        re.sub(r"^neck\.extra_convs\.(\d+)", lambda m: f"neck.convs.{maps + int(m.group(1))}", key): tensor
        for key, tensor in state.items()
    }


def extra_levels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back; the backbone's levels are those of a 1×1 convolution."""
    weight = re.compile(r"neck\.convs\.\d+\.conv\.weight")
    maps = sum(1 for key, tensor in state.items() if weight.fullmatch(key) and tensor.shape[-1] == 1)
    return {_extra_level(key, maps): tensor for key, tensor in state.items()}


def _extra_level(key: str, maps: int) -> str:
    match = re.match(r"neck\.convs\.(\d+)\.(.+)", key)
    if match is None or int(match.group(1)) < maps:
        return key
    return f"neck.extra_convs.{int(match.group(1)) - maps}.{match.group(2)}"
