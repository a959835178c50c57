"""Swin Transformers as they show in weights, and as detectors store them (Liu et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .resnet import count

# Width of the first stage and blocks of the third -> size.
_SIZES = {(96, 6): "tiny", (96, 18): "small", (128, 18): "base", (192, 18): "large"}
_IMAGE_SIZES = {7: 224, 12: 384}  # that windows of this width were trained with
OURS, _THEIRS = "backbone.model.", "backbone.0."
_TABLE = ".relative_position_bias_table"


def swin_config(state: Mapping[str, Tensor], num_maps: int) -> tuple[str, dict[str, Any], list[int]] | None:
    """Of the Swin Transformer under `backbone.`: its letter, a config and the channels of its last maps.

    None where there is no complete one of timm's.
    """
    stem = state.get(f"{OURS}patch_embed.proj.weight")
    tables = {key: tensor for key, tensor in state.items() if key.startswith(OURS) and key.endswith(_TABLE)}
    if stem is None or not tables:
        return None
    blocks = [count(state, f"{OURS}layers.{stage}.blocks.") for stage in range(4)]
    size = _SIZES.get((len(stem), blocks[2]))
    window = _window_of(next(iter(tables.values())))
    if size is None or window not in _IMAGE_SIZES or blocks[:2] + blocks[3:] != [2, 2, 2]:
        return None
    config = dict(
        type="TimmBackbone",
        name=f"swin_{size}_patch4_window{window}_{_IMAGE_SIZES[window]}",
        strides=(4, 8, 16, 32)[-num_maps:],
        options=dict(strict_img_size=False, always_partition=True),
        map_norm=any(key.startswith("backbone.map_norms.") for key in state),
    )
    channels = [len(stem) * 2**stage for stage in range(4)]
    return f"swin_{size[0]}", config, channels[-num_maps:]


def swin_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original detectors' keys -> timm's.

    There a stage ends with its downsampling, here it begins with it; norms after maps are numbered by stage;
    the table of positions within a window, which follows from its size, is stored.
    """
    if not any(key.startswith(f"{_THEIRS}patch_embed.") for key in state):
        return dict(state)
    stages = sorted({m.group(1) for key in state if (m := re.match(r"backbone\.0\.norm(\d)\.", key))})
    result = {}
    for key, tensor in state.items():
        if key.endswith(".relative_position_index"):
            continue
        match = re.fullmatch(r"backbone\.0\.norm(\d)\.(\w+)", key)
        if match:
            key = f"backbone.map_norms.{stages.index(match.group(1))}.{match.group(2)}"
        elif key.startswith((f"{_THEIRS}patch_embed.", f"{_THEIRS}layers.")):
            key = move_downsampling(key, 1).replace(_THEIRS, OURS, 1)
        result[key] = tensor
    return result


def swin_from_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back."""
    if f"{OURS}patch_embed.proj.weight" not in state:
        return dict(state)
    first = 4 - count(state, "backbone.map_norms.")
    result = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"backbone\.map_norms\.(\d)\.(\w+)", key)
        if match:
            key = f"{_THEIRS}norm{first + int(match.group(1))}.{match.group(2)}"
        elif key.startswith(OURS):
            key = move_downsampling(key, -1).replace(OURS, _THEIRS, 1)
        result[key] = tensor
        if key.endswith(_TABLE):
            index = key.removesuffix(_TABLE) + ".relative_position_index"
            result[index] = positions_of(tensor)
    return result


def move_downsampling(key: str, stages: int) -> str:
    """A downsampling belongs to the stage after it here, and to the one before it there."""
    return re.sub(
        r"\.layers\.(\d+)\.downsample\.",
        lambda match: f".layers.{int(match.group(1)) + stages}.downsample.",
        key,
    )


def _window_of(table: Tensor) -> int:
    """Its width w, of the (2 w - 1)² rows of a table of biases."""
    return (round(len(table) ** 0.5) + 1) // 2


def positions_of(table: Tensor) -> Tensor:
    """(w², w²) int64: the row of a table of biases for each pair of pixels in a window of width w."""
    width = _window_of(table)
    y, x = torch.meshgrid(torch.arange(width), torch.arange(width), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy, dx = y[:, None] - y[None] + width - 1, x[:, None] - x[None] + width - 1
    return dy * (2 * width - 1) + dx
