"""Checkpoints of Hugging Face transformers' object-detection models.

Read: the names of versions 4 and 5, with a timm or a transformers ResNet. Written: version 4's names with
timm's ResNet, which is how the checkpoints on the hub are stored and what both versions load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...categories import Categories
from ..architecture import Architecture
from ..key_names import KeyNames
from ..rules import Rule
from ..stored_heads import StoredHeads

BEGINNINGS = ("model.backbone.", "model.encoder.layers.")

COMMON = """
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
"""The part of the table that DETR and Deformable DETR share."""

_QKV = ("q", "k", "v")


class HuggingFaceNames(KeyNames):
    """transformers' keys; query, key and value projections, apart over there, are packed into one.

    Args:
        table, marks: see KeyNames.
        heads: where it stores prediction heads under several names.

    Attributes:
        counts_batches: batch norms keep their counter over there.
    """

    format = "huggingface"
    beginnings = BEGINNINGS
    counts_batches: ClassVar[bool] = False

    def __init__(
        self, table: Sequence[Rule], marks: tuple[str, ...], heads: StoredHeads | None = None
    ) -> None:
        super().__init__(table, marks)
        self.heads = heads

    def version_4(self, key: str) -> str:
        """Version 4's name, with timm's ResNet, for a key of version 5 or with transformers' own ResNet."""
        if key.startswith("model.backbone."):
            key = re.sub(
                r"^model\.backbone\.(conv_encoder\.)?model\.", "model.backbone.conv_encoder.model.", key
            )
            return _torchvision_resnet(key)
        key = re.sub(r"\.(self_attn|encoder_attn)\.o_proj\.", r".\1.out_proj.", key)
        return re.sub(r"\.mlp\.(fc[12])\.", r".\1.", key)

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        state = _pack_projections({self.version_4(key): tensor for key, tensor in state.items()})
        if self.heads is not None:
            state = _untie_class_heads(self.heads.keep_one_name(state))
        return super().to_ours(state)

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames; heads stored under several names share their memory."""
        if not self.counts_batches:
            state = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        theirs = _split_projections(super().from_ours(state, architecture))
        return theirs if self.heads is None else self.heads.repeat(theirs, architecture)


def common_config(architecture: Architecture, categories: Categories, dilation: bool) -> dict[str, Any]:
    """What the config.json of DETR and Deformable DETR have in common."""
    network, num_queries = architecture.network, architecture.num_queries or 300
    transformer = network["transformer"]
    return {
        "use_timm_backbone": True,
        "backbone": f"resnet{network['backbone']['depth']}",
        "use_pretrained_backbone": False,
        "dilation": dilation,
        "d_model": transformer["embed_dims"],
        "num_queries": num_queries,
        "encoder_layers": transformer["num_encoder_layers"],
        "decoder_layers": transformer["num_decoder_layers"],
        "encoder_ffn_dim": transformer["ffn_dims"],
        "decoder_ffn_dim": transformer["ffn_dims"],
        "encoder_attention_heads": transformer["num_heads"],
        "decoder_attention_heads": transformer["num_heads"],
        "position_embedding_type": "sine",
        "id2label": {str(label): name for label, name in enumerate(categories.names)},
        "label2id": {name: label for label, name in enumerate(categories.names)},
    }


def _untie_class_heads(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Version 5 ties the class heads of a refinement model into one; each layer gets its name back."""
    layers = {int(key.split(".")[1]) for key in state if key.startswith("bbox_embed.")}
    for layer in layers:
        for kind in ("weight", "bias"):
            state.setdefault(f"class_embed.{layer}.{kind}", state[f"class_embed.0.{kind}"])
    return state


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
