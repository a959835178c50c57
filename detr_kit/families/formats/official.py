"""Checkpoints of facebookresearch/detr and the code that grew from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from ..architecture import Architecture
from ..key_names import KeyNames
from ..rules import Rule
from ..stored_heads import StoredHeads

BEGINNINGS = ("backbone.0.body.",)

COMMON = """
backbone.{rest}                                     backbone.0.body.{rest}
position_encoding.{rest}                            backbone.1.{rest}
query_embed.weight                                  query_embed.weight
transformer.encoder_layers.{i}.self_attn.{rest}     transformer.encoder.layers.{i}.self_attn.{rest}
transformer.encoder_layers.{i}.norm_self_attn.{p}   transformer.encoder.layers.{i}.norm1.{p}
transformer.encoder_layers.{i}.ffn.{linear}.{p}     transformer.encoder.layers.{i}.{linear}.{p}
transformer.encoder_layers.{i}.norm_ffn.{p}         transformer.encoder.layers.{i}.norm2.{p}
transformer.decoder_layers.{i}.self_attn.{rest}     transformer.decoder.layers.{i}.self_attn.{rest}
transformer.decoder_layers.{i}.ffn.{linear}.{p}     transformer.decoder.layers.{i}.{linear}.{p}
transformer.decoder_layers.{i}.norm_ffn.{p}         transformer.decoder.layers.{i}.norm3.{p}
"""
"""The part of the table that DETR and Deformable DETR share."""

# norm2 follows self-attention and norm1 cross-attention.
MULTI_SCALE = """
neck.levels.{i}.conv.{p}                            input_proj.{i}.0.{p}
neck.levels.{i}.norm.{p}                            input_proj.{i}.1.{p}
transformer.level_embed                             transformer.level_embed
transformer.decoder_layers.{i}.norm_self_attn.{p}   transformer.decoder.layers.{i}.norm2.{p}
transformer.decoder_layers.{i}.cross_attn.{rest}    transformer.decoder.layers.{i}.cross_attn.{rest}
transformer.decoder_layers.{i}.norm_cross_attn.{p}  transformer.decoder.layers.{i}.norm1.{p}
"""
"""The part of the table that networks of several levels share."""

# Before COMMON, which would keep our names of self-attention's projections.
CONDITIONAL = """
neck.levels.0.conv.{p}                  input_proj.{p}
ours.self_attn.query_content.{p}        theirs.sa_qcontent_proj.{p}
ours.self_attn.query_position.{p}       theirs.sa_qpos_proj.{p}
ours.self_attn.key_content.{p}          theirs.sa_kcontent_proj.{p}
ours.self_attn.key_position.{p}         theirs.sa_kpos_proj.{p}
ours.self_attn.value.{p}                theirs.sa_v_proj.{p}
ours.norm_self_attn.{p}                 theirs.norm1.{p}
ours.cross_attn.query_content.{p}       theirs.ca_qcontent_proj.{p}
ours.cross_attn.query_position.{p}      theirs.ca_qpos_proj.{p}
ours.cross_attn.query_sine.{p}          theirs.ca_qpos_sine_proj.{p}
ours.cross_attn.key_content.{p}         theirs.ca_kcontent_proj.{p}
ours.cross_attn.key_position.{p}        theirs.ca_kpos_proj.{p}
ours.cross_attn.value.{p}               theirs.ca_v_proj.{p}
ours.cross_attn.out_proj.{p}            theirs.cross_attn.out_proj.{p}
ours.norm_cross_attn.{p}                theirs.norm2.{p}
transformer.decoder_norm.{p}            transformer.decoder.norm.{p}
transformer.query_scale.layers.{i}.{p}  transformer.decoder.query_scale.layers.{i}.{p}
class_head.{p}                          class_embed.{p}
box_head.layers.{i}.{p}                 bbox_embed.layers.{i}.{p}
""".replace("ours.", "transformer.decoder_layers.{i}.").replace("theirs.", "transformer.decoder.layers.{i}.")
"""The part of the table that networks with conditional attention share."""


class OfficialNames(KeyNames):
    """Keys of the original code.

    Args:
        table, marks: see KeyNames; the format's beginnings are added to the marks.
        heads: where it stores prediction heads under several names.
    """

    format = "official"
    beginnings = BEGINNINGS

    def __init__(
        self, table: Sequence[Rule], marks: tuple[str, ...], heads: StoredHeads | None = None
    ) -> None:
        super().__init__(table, (*BEGINNINGS, *marks))
        self.heads = heads

    def missing(self, keys: Iterable[str]) -> list[str]:
        """See KeyNames; the panoptic model has a prefix."""
        return super().missing(key.removeprefix("detr.") for key in keys)

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        state = {key.removeprefix("detr."): tensor for key, tensor in state.items()}
        if self.heads is not None:
            state = self.heads.keep_one_name(state)
        return super().to_ours(state)

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames; heads stored under several names share their memory."""
        state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        theirs = super().from_ours(state, architecture)
        return theirs if self.heads is None else self.heads.repeat(theirs, architecture)
