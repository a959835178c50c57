"""Keys of facebookresearch/detr and fundamentalvision/Deformable-DETR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from .architecture import Architecture
from .heads import add_decoder_aliases, keep_one_name, repeat_shared
from .rules import rename_to_ours, rename_to_theirs, rules

_BOTH = """
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

DETR = rules(
    _BOTH
    + """
neck.levels.0.conv.{p}                              input_proj.{p}
transformer.decoder_layers.{i}.norm_self_attn.{p}   transformer.decoder.layers.{i}.norm1.{p}
transformer.decoder_layers.{i}.cross_attn.{rest}    transformer.decoder.layers.{i}.multihead_attn.{rest}
transformer.decoder_layers.{i}.norm_cross_attn.{p}  transformer.decoder.layers.{i}.norm2.{p}
transformer.decoder_norm.{p}                        transformer.decoder.norm.{p}
class_head.{p}                                      class_embed.{p}
box_head.layers.{i}.{p}                             bbox_embed.layers.{i}.{p}
"""
)

# norm2 follows self-attention and norm1 cross-attention.
DEFORMABLE_DETR = rules(
    _BOTH
    + """
neck.levels.{i}.conv.{p}                            input_proj.{i}.0.{p}
neck.levels.{i}.norm.{p}                            input_proj.{i}.1.{p}
transformer.level_embed                             transformer.level_embed
transformer.decoder_layers.{i}.norm_self_attn.{p}   transformer.decoder.layers.{i}.norm2.{p}
transformer.decoder_layers.{i}.cross_attn.{rest}    transformer.decoder.layers.{i}.cross_attn.{rest}
transformer.decoder_layers.{i}.norm_cross_attn.{p}  transformer.decoder.layers.{i}.norm1.{p}
reference_points.{p}                                transformer.reference_points.{p}
proposals.memory_proj.{p}                           transformer.enc_output.{p}
proposals.memory_norm.{p}                           transformer.enc_output_norm.{p}
proposals.query_proj.{p}                            transformer.pos_trans.{p}
proposals.query_norm.{p}                            transformer.pos_trans_norm.{p}
class_heads.{i}.{p}                                 class_embed.{i}.{p}
box_heads.{i}.layers.{j}.{p}                        bbox_embed.{i}.layers.{j}.{p}
"""
)

_HEADS = ("class_embed", "bbox_embed")

SIGNATURES = ("backbone.0.body.",)
"""How some key of every checkpoint of this format begins."""


def matches(keys: Iterable[str]) -> bool:
    """Whether these keys are of the original code."""
    return any(key.removeprefix("detr.").startswith(SIGNATURES) for key in keys)


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our keys for the original's; what has no counterpart keeps its name."""
    state = {key.removeprefix("detr."): tensor for key, tensor in state.items()}  # the panoptic model
    deformable = "transformer.level_embed" in state
    if deformable:
        state = keep_one_name(state, _HEADS, "transformer.decoder.")
    return rename_to_ours(state, DEFORMABLE_DETR if deformable else DETR)


def from_ours(state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """The original's keys; heads stored under several names share their memory."""
    state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    if architecture.kind == "detr":
        return rename_to_theirs(state, DETR, "official")
    theirs = rename_to_theirs(state, DEFORMABLE_DETR, "official")
    theirs = repeat_shared(theirs, _HEADS, architecture)
    return add_decoder_aliases(theirs, _HEADS, "transformer.decoder.", architecture)
