"""Checkpoints of mmdetection 3.x."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..architecture import Architecture
from ..key_names import KeyNames
from ..neck_levels import extra_levels, number_levels
from ..rules import Rule
from ..stored_heads import StoredHeads

BEGINNINGS = ("bbox_head.cls_branches.", "bbox_head.fc_cls.")

# Norms are numbered in the order they are applied.
COMMON = """
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
"""The part of the table that DETR and Deformable DETR share."""

# Levels above the backbone's are renumbered by `number_levels` to follow the others.
MULTI_SCALE = """
neck.levels.{i}.conv.{p}                                neck.convs.{i}.conv.{p}
neck.levels.{i}.norm.{p}                                neck.convs.{i}.gn.{p}
transformer.level_embed                                 level_embed
transformer.encoder_layers.{i}.self_attn.{rest}         encoder.layers.{i}.self_attn.{rest}
transformer.decoder_layers.{i}.cross_attn.{rest}        decoder.layers.{i}.cross_attn.{rest}
class_heads.{i}.{p}                                     bbox_head.cls_branches.{i}.{p}
box_heads.{i}.layers.0.{p}                              bbox_head.reg_branches.{i}.0.{p}
box_heads.{i}.layers.1.{p}                              bbox_head.reg_branches.{i}.2.{p}
box_heads.{i}.layers.2.{p}                              bbox_head.reg_branches.{i}.4.{p}
"""
"""The part of the table that networks of several levels share."""

# Before COMMON, which has other names for self-attention.
CONDITIONAL = """
neck.levels.{i}.conv.{p}                neck.convs.{i}.conv.{p}
transformer.encoder_layers.{i}.self_attn.{rest}     encoder.layers.{i}.self_attn.attn.{rest}
ours.self_attn.query_content.{p}        theirs.self_attn.qcontent_proj.{p}
ours.self_attn.query_position.{p}       theirs.self_attn.qpos_proj.{p}
ours.self_attn.key_content.{p}          theirs.self_attn.kcontent_proj.{p}
ours.self_attn.key_position.{p}         theirs.self_attn.kpos_proj.{p}
ours.self_attn.value.{p}                theirs.self_attn.v_proj.{p}
ours.self_attn.out_proj.{p}             theirs.self_attn.out_proj.{p}
ours.cross_attn.query_content.{p}       theirs.cross_attn.qcontent_proj.{p}
ours.cross_attn.query_position.{p}      theirs.cross_attn.qpos_proj.{p}
ours.cross_attn.query_sine.{p}          theirs.cross_attn.qpos_sine_proj.{p}
ours.cross_attn.key_content.{p}         theirs.cross_attn.kcontent_proj.{p}
ours.cross_attn.key_position.{p}        theirs.cross_attn.kpos_proj.{p}
ours.cross_attn.value.{p}               theirs.cross_attn.v_proj.{p}
ours.cross_attn.out_proj.{p}            theirs.cross_attn.out_proj.{p}
transformer.decoder_norm.{p}            decoder.post_norm.{p}
transformer.query_scale.layers.{i}.{p}  decoder.query_scale.layers.{i}.{p}
class_head.{p}                          bbox_head.fc_cls.{p}
""".replace("ours.", "transformer.decoder_layers.{i}.").replace("theirs.", "decoder.layers.{i}.")
"""The part of the table that networks with conditional attention share."""


class MmdetNames(KeyNames):
    """mmdetection's keys.

    Args:
        table, marks: see KeyNames.
        heads: where it stores prediction heads under several names.
    """

    format = "mmdet"
    beginnings = BEGINNINGS

    def __init__(
        self, table: Sequence[Rule], marks: tuple[str, ...], heads: StoredHeads | None = None
    ) -> None:
        super().__init__(table, marks)
        self.heads = heads

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        return super().to_ours(state if self.heads is None else self.heads.keep_one_name(state))

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames; batch norms get the counter that they have over there."""
        theirs = super().from_ours(state, architecture)
        for key in [key for key in theirs if key.endswith(".running_mean")]:
            theirs.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
        return theirs if self.heads is None else self.heads.repeat(theirs, architecture)


class MmdetMultiScaleNames(MmdetNames):
    """mmdetection's keys with its neck: convolutions without bias, levels above the backbone's apart."""

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames; the neck's convolutions, which have no bias there, get one of zero."""
        state = number_levels(state)
        for key in [key for key in state if re.fullmatch(r"neck\.convs\.\d+\.conv\.weight", key)]:
            weight = state[key]
            state.setdefault(key.replace("weight", "bias"), weight.new_zeros(len(weight)))
        return super().to_ours(state)

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames. A bias of the neck is left out where it is zero (see `notes`)."""
        theirs = super().from_ours(state, architecture)
        for key in [key for key in theirs if re.fullmatch(r"neck\.convs\.\d+\.conv\.bias", key)]:
            if not theirs[key].any():
                del theirs[key]
        return extra_levels(theirs)

    def notes(self, theirs: Mapping[str, Tensor]) -> list[str]:
        """See KeyNames."""
        if any(re.fullmatch(r"neck\.(extra_)?convs\.\d+\.conv\.bias", key) for key in theirs):
            return [
                "the neck's convolutions have a bias, which mmdet's model leaves out: set "
                "model.neck.bias=True in its config"
            ]
        return []
