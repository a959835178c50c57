"""ResNets as they show in weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Blocks of each stage, and whether they are bottlenecks.
_DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many names follow a prefix."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def resnet_depth(state: Mapping[str, Tensor]) -> int | None:
    """Of the ResNet under `backbone.`; None where it is no complete one."""
    blocks = tuple(count(state, f"backbone.layer{stage}.") for stage in range(1, 5))
    return _DEPTHS.get((blocks, "backbone.layer1.0.conv3.weight" in state))


def blocks_of(depth: int) -> tuple[tuple[int, ...], bool]:
    """Blocks of each stage, and whether they are bottlenecks."""
    return next(blocks for blocks, known in _DEPTHS.items() if known == depth)


def resnet_config(depth: int, strides: tuple[int, ...]) -> tuple[dict[str, Any], list[int]]:
    """A ResNet that gives maps of these strides, and their channels."""
    width = 2048 if depth >= 50 else 512
    return dict(type="ResNet", depth=depth, strides=strides), [width * stride // 32 for stride in strides]
