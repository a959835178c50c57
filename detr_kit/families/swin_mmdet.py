"""Swin Transformers as mmdetection stores them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .resnet import count
from .rules import rename_to_ours, rename_to_theirs, rules
from .swin import OURS, move_downsampling, positions_of

_NAMES = rules(
    """
ours.patch_embed.proj.{p}                   theirs.patch_embed.projection.{p}
ours.patch_embed.norm.{p}                   theirs.patch_embed.norm.{p}
ours.layers.{i}.downsample.{rest}           theirs.stages.{i}.downsample.{rest}
block.attn.relative_position_bias_table     their_block.attn.w_msa.relative_position_bias_table
block.attn.qkv.{p}                          their_block.attn.w_msa.qkv.{p}
block.attn.proj.{p}                         their_block.attn.w_msa.proj.{p}
block.mlp.fc1.{p}                           their_block.ffn.layers.0.0.{p}
block.mlp.fc2.{p}                           their_block.ffn.layers.1.{p}
block.norm1.{p}                             their_block.norm1.{p}
block.norm2.{p}                             their_block.norm2.{p}
""".replace("their_block.", "theirs.stages.{i}.blocks.{j}.")
    .replace("block.", "ours.layers.{i}.blocks.{j}.")
    .replace("theirs.", "backbone.")
    .replace("ours.", OURS)
)
_INDEX, _BIASES = ".relative_position_index", ".relative_position_bias_table"
# Their pixels of a merged patch are row by row, the others' column by column.
_PIXELS = [0, 2, 1, 3]


def swin_from_mmdet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mmdetection's keys -> timm's.

    There as in the original detectors a stage ends with its downsampling, which takes a channel's four pixels
    together, and not a pixel's channels.
    """
    if "backbone.patch_embed.projection.weight" not in state:
        return dict(state)
    norms = sorted({match.group(1) for key in state if (match := _norm(key))})
    swin: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if match := _norm(key):
            rest[f"backbone.map_norms.{norms.index(match.group(1))}.{match.group(2)}"] = tensor
        elif not key.startswith("backbone."):
            rest[key] = tensor
        elif not key.endswith(_INDEX):
            swin[key] = tensor
    for key, tensor in rename_to_ours(swin, _NAMES).items():
        merges = ".downsample." in key
        rest[move_downsampling(key, 1)] = _pixel_by_pixel(tensor) if merges else tensor
    return rest


def swin_to_mmdet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back, of the backbone alone; the rest keeps our keys.

    Raises:
        InputError: a tensor of the backbone that they have no name for.
    """
    if f"{OURS}patch_embed.proj.weight" not in state:
        return dict(state)
    first = 4 - count(state, "backbone.map_norms.")
    swin: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"backbone\.map_norms\.(\d)\.(\w+)", key):
            rest[f"backbone.norm{first + int(match.group(1))}.{match.group(2)}"] = tensor
        elif key.startswith(OURS):
            merges = ".downsample." in key
            swin[move_downsampling(key, -1)] = _channel_by_channel(tensor) if merges else tensor
        else:
            rest[key] = tensor
    for key, tensor in rename_to_theirs(swin, _NAMES, "mmdet").items():
        rest[key] = tensor
        if key.endswith(_BIASES):
            rest[key.replace(_BIASES, _INDEX)] = positions_of(tensor)
    return rest


def _norm(key: str) -> re.Match[str] | None:
    return re.fullmatch(r"backbone\.norm(\d)\.(\w+)", key)


def _pixel_by_pixel(tensor: Tensor) -> Tensor:
    """(…, C · 4 pixels) -> (…, 4 pixels · C)."""
    return tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)[..., _PIXELS, :].flatten(-2)


def _channel_by_channel(tensor: Tensor) -> Tensor:
    """(…, 4 pixels · C) -> (…, C · 4 pixels)."""
    return tensor.unflatten(-1, (4, -1))[..., _PIXELS, :].transpose(-1, -2).flatten(-2)
