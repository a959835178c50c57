"""Keys of facebookresearch/detr and fundamentalvision/Deformable-DETR."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .architecture import Architecture
from .rules import rules

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

_DECODER_ALIAS = re.compile(r"transformer\.decoder\.((?:class|bbox)_embed\..+)")


def normalise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what the original code stores twice: decoder aliases, and shared heads but the first."""
    state = {key.removeprefix("detr."): tensor for key, tensor in state.items()}  # the panoptic model
    refine = any(key.startswith("transformer.decoder.bbox_embed.") for key in state)
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        alias = _DECODER_ALIAS.fullmatch(key)
        if alias:
            result.setdefault(alias.group(1), tensor)
        elif refine or not re.match(r"(class|bbox)_embed\.[1-9]\d*\.", key):
            result[key] = tensor
    return result


def expand(state: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Add the second names under which the original code looks the heads up; the tensors are shared."""
    if architecture.kind == "detr":
        return state
    result = dict(state)
    for key, tensor in state.items():
        head = re.fullmatch(r"(class|bbox)_embed\.0\.(.+)", key)
        if head and not architecture.refine:
            for layer in range(1, architecture.num_decoder_layers):
                result[f"{head.group(1)}_embed.{layer}.{head.group(2)}"] = tensor
        if (architecture.refine and key.startswith("bbox_embed.")) or (
            architecture.two_stage and key.startswith("class_embed.")
        ):
            result[f"transformer.decoder.{key}"] = tensor
    return result
