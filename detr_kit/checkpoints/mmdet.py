"""Keys of mmdetection 3.x's DETR and Deformable DETR."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .architecture import Architecture
from .heads import keep_one_name, repeat_shared
from .rules import rename_to_ours, rename_to_theirs, rules

# Norms are numbered in the order they are applied.
_BOTH = """
backbone.{rest}                                         backbone.{rest}
query_embed.weight                                      query_embedding.weight
transformer.encoder_layers.{i}.norm_self_attn.{p}       encoder.layers.{i}.norms.0.{p}
transformer.encoder_layers.{i}.ffn.linear1.{p}          encoder.layers.{i}.ffn.layers.0.0.{p}
transformer.encoder_layers.{i}.ffn.linear2.{p}          encoder.layers.{i}.ffn.layers.1.{p}
transformer.encoder_layers.{i}.norm_ffn.{p}             encoder.layers.{i}.norms.1.{p}
transformer.decoder_layers.{i}.self_attn.{rest}         decoder.layers.{i}.self_attn.attn.{rest}
transformer.decoder_layers.{i}.norm_self_attn.{p}       decoder.layers.{i}.norms.0.{p}
transformer.decoder_layers.{i}.norm_cross_attn.{p}      decoder.layers.{i}.norms.1.{p}
transformer.decoder_layers.{i}.ffn.linear1.{p}          decoder.layers.{i}.ffn.layers.0.0.{p}
transformer.decoder_layers.{i}.ffn.linear2.{p}          decoder.layers.{i}.ffn.layers.1.{p}
transformer.decoder_layers.{i}.norm_ffn.{p}             decoder.layers.{i}.norms.2.{p}
"""

DETR = rules(
    _BOTH
    + """
neck.levels.{i}.conv.{p}                                neck.convs.{i}.conv.{p}
transformer.encoder_layers.{i}.self_attn.{rest}         encoder.layers.{i}.self_attn.attn.{rest}
transformer.decoder_layers.{i}.cross_attn.{rest}        decoder.layers.{i}.cross_attn.attn.{rest}
transformer.decoder_norm.{p}                            decoder.post_norm.{p}
class_head.{p}                                          bbox_head.fc_cls.{p}
box_head.layers.0.{p}                                   bbox_head.reg_ffn.layers.0.0.{p}
box_head.layers.1.{p}                                   bbox_head.reg_ffn.layers.1.{p}
box_head.layers.2.{p}                                   bbox_head.fc_reg.{p}
"""
)

# Levels above the backbone's are renumbered by `_number_levels` to follow the others.
DEFORMABLE_DETR = rules(
    _BOTH
    + """
neck.levels.{i}.conv.{p}                                neck.convs.{i}.conv.{p}
neck.levels.{i}.norm.{p}                                neck.convs.{i}.gn.{p}
transformer.level_embed                                 level_embed
transformer.encoder_layers.{i}.self_attn.{rest}         encoder.layers.{i}.self_attn.{rest}
transformer.decoder_layers.{i}.cross_attn.{rest}        decoder.layers.{i}.cross_attn.{rest}
reference_points.{p}                                    reference_points_fc.{p}
proposals.memory_proj.{p}                               memory_trans_fc.{p}
proposals.memory_norm.{p}                               memory_trans_norm.{p}
proposals.query_proj.{p}                                pos_trans_fc.{p}
proposals.query_norm.{p}                                pos_trans_norm.{p}
class_heads.{i}.{p}                                     bbox_head.cls_branches.{i}.{p}
box_heads.{i}.layers.0.{p}                              bbox_head.reg_branches.{i}.0.{p}
box_heads.{i}.layers.1.{p}                              bbox_head.reg_branches.{i}.2.{p}
box_heads.{i}.layers.2.{p}                              bbox_head.reg_branches.{i}.4.{p}
"""
)

_HEADS = ("bbox_head.cls_branches", "bbox_head.reg_branches")

SIGNATURES = ("bbox_head.cls_branches.", "bbox_head.fc_cls.")
"""How some key of every checkpoint of this format begins."""


def matches(keys: Iterable[str]) -> bool:
    """Whether these keys are of mmdetection 3.x."""
    return any(key.startswith(SIGNATURES) for key in keys)


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our keys for mmdet's; the neck's convolutions, which have no bias there, get one of zero."""
    if "bbox_head.fc_cls.weight" in state:
        return rename_to_ours(state, DETR)
    state = keep_one_name(_number_levels(state), _HEADS)
    for key in [key for key in state if re.fullmatch(r"neck\.convs\.\d+\.conv\.weight", key)]:
        weight = state[key]
        state.setdefault(key.replace("weight", "bias"), weight.new_zeros(len(weight)))
    return rename_to_ours(state, DEFORMABLE_DETR)


def from_ours(state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """mmdet's keys. A bias of the neck is left out where it is zero (see `notes`)."""
    table = DETR if architecture.kind == "detr" else DEFORMABLE_DETR
    theirs = rename_to_theirs(state, table, "mmdet")
    for key in [key for key in theirs if key.endswith(".running_mean")]:
        theirs.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    if architecture.kind == "detr":
        return theirs
    for key in [key for key in theirs if re.fullmatch(r"neck\.convs\.\d+\.conv\.bias", key)]:
        if not theirs[key].any():
            del theirs[key]
    maps = sum(
        1
        for k, t in theirs.items()
        if re.fullmatch(r"neck\.convs\.\d+\.conv\.weight", k) and t.shape[-1] == 1
    )
    theirs = {_extra_level(key, maps): tensor for key, tensor in theirs.items()}
    return repeat_shared(theirs, _HEADS, architecture)


def notes(theirs: Mapping[str, Tensor]) -> list[str]:
    """What has to be set in mmdet for these weights to give the same numbers."""
    deformable = "bbox_head.fc_cls.weight" not in theirs
    if deformable and any(re.fullmatch(r"neck\.(extra_)?convs\.\d+\.conv\.bias", key) for key in theirs):
        return [
            "the neck's convolutions have a bias, which mmdet's Deformable DETR leaves out: set "
            "model.neck.bias=True in its config"
        ]
    return []


def _number_levels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """neck.extra_convs.0 -> neck.convs.N after the N levels of the backbone."""
    maps = len({key.split(".")[2] for key in state if key.startswith("neck.convs.")})
    return {
        re.sub(r"^neck\.extra_convs\.(\d+)", lambda m: f"neck.convs.{maps + int(m.group(1))}", key): tensor
        for key, tensor in state.items()
    }


def _extra_level(key: str, maps: int) -> str:
    match = re.match(r"neck\.convs\.(\d+)\.(.+)", key)
    if match is None or int(match.group(1)) < maps:
        return key
    return f"neck.extra_convs.{int(match.group(1)) - maps}.{match.group(2)}"
