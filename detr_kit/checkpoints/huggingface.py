"""Keys of Hugging Face transformers' DetrForObjectDetection and DeformableDetrForObjectDetection.

Read: the names of versions 4 and 5, with a timm or a transformers ResNet. Written: version 4's names with
timm's ResNet, which is how the checkpoints on the hub are stored and what both versions load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..categories import Categories
from .architecture import Architecture
from .heads import add_decoder_aliases, keep_one_name, repeat_shared
from .rules import rename_to_ours, rename_to_theirs, rules

_BOTH = """
backbone.{rest}                                         model.backbone.conv_encoder.model.{rest}
position_encoding.row_embed.weight  model.backbone.position_embedding.row_embeddings.weight
position_encoding.col_embed.weight  model.backbone.position_embedding.column_embeddings.weight
query_embed.weight                                      model.query_position_embeddings.weight
transformer.encoder_layers.{i}.self_attn.{rest}         model.encoder.layers.{i}.self_attn.{rest}
transformer.encoder_layers.{i}.norm_self_attn.{p}       model.encoder.layers.{i}.self_attn_layer_norm.{p}
transformer.encoder_layers.{i}.ffn.linear1.{p}          model.encoder.layers.{i}.fc1.{p}
transformer.encoder_layers.{i}.ffn.linear2.{p}          model.encoder.layers.{i}.fc2.{p}
transformer.encoder_layers.{i}.norm_ffn.{p}             model.encoder.layers.{i}.final_layer_norm.{p}
transformer.decoder_layers.{i}.self_attn.{rest}         model.decoder.layers.{i}.self_attn.{rest}
transformer.decoder_layers.{i}.norm_self_attn.{p}       model.decoder.layers.{i}.self_attn_layer_norm.{p}
transformer.decoder_layers.{i}.cross_attn.{rest}        model.decoder.layers.{i}.encoder_attn.{rest}
transformer.decoder_layers.{i}.norm_cross_attn.{p}      model.decoder.layers.{i}.encoder_attn_layer_norm.{p}
transformer.decoder_layers.{i}.ffn.linear1.{p}          model.decoder.layers.{i}.fc1.{p}
transformer.decoder_layers.{i}.ffn.linear2.{p}          model.decoder.layers.{i}.fc2.{p}
transformer.decoder_layers.{i}.norm_ffn.{p}             model.decoder.layers.{i}.final_layer_norm.{p}
"""

DETR = rules(
    _BOTH
    + """
neck.levels.0.conv.{p}                                  model.input_projection.{p}
transformer.decoder_norm.{p}                            model.decoder.layernorm.{p}
class_head.{p}                                          class_labels_classifier.{p}
box_head.layers.{i}.{p}                                 bbox_predictor.layers.{i}.{p}
"""
)

DEFORMABLE_DETR = rules(
    _BOTH
    + """
neck.levels.{i}.conv.{p}                                model.input_proj.{i}.0.{p}
neck.levels.{i}.norm.{p}                                model.input_proj.{i}.1.{p}
transformer.level_embed                                 model.level_embed
reference_points.{p}                                    model.reference_points.{p}
proposals.memory_proj.{p}                               model.enc_output.{p}
proposals.memory_norm.{p}                               model.enc_output_norm.{p}
proposals.query_proj.{p}                                model.pos_trans.{p}
proposals.query_norm.{p}                                model.pos_trans_norm.{p}
class_heads.{i}.{p}                                     class_embed.{i}.{p}
box_heads.{i}.layers.{j}.{p}                            bbox_embed.{i}.layers.{j}.{p}
"""
)

_HEADS = ("class_embed", "bbox_embed")
_QKV = ("q", "k", "v")

SIGNATURES = ("model.backbone.", "model.encoder.layers.")
"""How some key of every checkpoint of this format begins."""


def matches(keys: Iterable[str]) -> bool:
    """Whether these keys are of transformers' object-detection models."""
    return any(key.startswith(SIGNATURES) for key in keys)


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our keys for either version's; query, key and value projections are packed into one."""
    state = _pack_projections({_version_4(key): tensor for key, tensor in state.items()})
    if "model.level_embed" not in state:
        return rename_to_ours(state, DETR)
    state = _untie_class_heads(keep_one_name(state, _HEADS, "model.decoder."))
    return rename_to_ours(state, DEFORMABLE_DETR)


def from_ours(state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Version 4's keys; heads stored under several names share their memory."""
    state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    if architecture.kind == "detr":
        return _split_projections(rename_to_theirs(state, DETR, "huggingface"))
    theirs = _split_projections(rename_to_theirs(state, DEFORMABLE_DETR, "huggingface"))
    theirs = repeat_shared(theirs, _HEADS, architecture)
    return add_decoder_aliases(theirs, _HEADS, "model.decoder.", architecture)


def model_config(architecture: Architecture, categories: Categories, dilation: bool) -> dict[str, Any]:
    """The config.json with which transformers builds the same network."""
    deformable = architecture.kind == "deformable_detr"
    config: dict[str, Any] = {
        "model_type": architecture.kind,
        "architectures": ["DeformableDetrForObjectDetection" if deformable else "DetrForObjectDetection"],
        "use_timm_backbone": True,
        "backbone": f"resnet{architecture.depth}",
        "use_pretrained_backbone": False,
        "dilation": dilation,
        "d_model": architecture.embed_dims,
        "num_queries": architecture.num_queries or 300,
        "encoder_layers": architecture.num_encoder_layers,
        "decoder_layers": architecture.num_decoder_layers,
        "encoder_ffn_dim": architecture.ffn_dims,
        "decoder_ffn_dim": architecture.ffn_dims,
        "encoder_attention_heads": architecture.num_heads,
        "decoder_attention_heads": architecture.num_heads,
        "position_embedding_type": "sine",
        "id2label": {str(label): name for label, name in enumerate(categories.names)},
        "label2id": {name: label for label, name in enumerate(categories.names)},
    }
    if deformable:
        config |= {
            "num_feature_levels": architecture.num_levels,
            "encoder_n_points": architecture.num_points,
            "decoder_n_points": architecture.num_points,
            "with_box_refine": architecture.refine,
            "two_stage": architecture.two_stage,
            "two_stage_num_proposals": architecture.num_queries or 300,
            # Version 5 would tie the class heads of a refinement model into one and change its results.
            "tie_word_embeddings": False,
        }
    return config


def _untie_class_heads(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Version 5 ties the class heads of a refinement model into one; each layer gets its name back."""
    layers = {int(key.split(".")[1]) for key in state if key.startswith("bbox_embed.")}
    for layer in layers:
        for kind in ("weight", "bias"):
            state.setdefault(f"class_embed.{layer}.{kind}", state[f"class_embed.0.{kind}"])
    return state


def _version_4(key: str) -> str:
    """Version 5's names and transformers' own ResNet -> version 4's names with timm's ResNet."""
    if key.startswith("model.backbone."):
        key = re.sub(r"^model\.backbone\.(conv_encoder\.)?model\.", "model.backbone.conv_encoder.model.", key)
        return _torchvision_resnet(key)
    key = re.sub(r"\.(self_attn|encoder_attn)\.o_proj\.", r".\1.out_proj.", key)
    return re.sub(r"\.mlp\.(fc[12])\.", r".\1.", key)


def _torchvision_resnet(key: str) -> str:
    prefix, _, rest = key.partition("conv_encoder.model.")
    rest = rest.replace("embedder.embedder.convolution", "conv1").replace(
        "embedder.embedder.normalization", "bn1"
    )
    match = re.fullmatch(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(.+)", rest)
    if match:
        stage, block, inner = int(match.group(1)) + 1, match.group(2), match.group(3)
        inner = re.sub(r"shortcut\.convolution", "downsample.0", inner)
        inner = re.sub(r"shortcut\.normalization", "downsample.1", inner)
        inner = re.sub(r"layer\.(\d)\.convolution", lambda m: f"conv{int(m.group(1)) + 1}", inner)
        inner = re.sub(r"layer\.(\d)\.normalization", lambda m: f"bn{int(m.group(1)) + 1}", inner)
        rest = f"layer{stage}.{block}.{inner}"
    return f"{prefix}conv_encoder.model.{rest}"


def _pack_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"(.+_attn)\.([qkv])_proj\.(weight|bias)", key)
        if match is None:
            result[key] = tensor
        elif match.group(2) == "q":
            base, kind = match.group(1), match.group(3)
            parts = [state[f"{base}.{part}_proj.{kind}"] for part in _QKV]
            result[f"{base}.in_proj_{kind}"] = torch.cat(parts)
    return result


def _split_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = re.fullmatch(r"(.+_attn)\.in_proj_(weight|bias)", key)
        if match is None:
            result[key] = tensor
            continue
        for part, piece in zip(_QKV, tensor.chunk(3), strict=True):
            result[f"{match.group(1)}.{part}_proj.{match.group(2)}"] = piece.clone()
    return result
