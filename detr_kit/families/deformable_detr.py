"""Deformable DETR and its variants (Zhu et al. 2021) as the rest of the house sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..categories import Categories
from ..models.deformable_detr import DeformableDETR as Network
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import HuggingFaceNames, MmdetNames, OfficialNames, huggingface, mmdet, official
from .key_names import OwnNames
from .registered import register
from .resnet import count, resnet_config, resnet_depth
from .rules import rules
from .shared_heads import SharedHeads

# norm2 follows self-attention and norm1 cross-attention.
OFFICIAL = rules(
    official.COMMON
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

# Levels above the backbone's are renumbered by `_number_levels` to follow the others.
MMDET = rules(
    mmdet.COMMON
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

HUGGINGFACE = rules(
    huggingface.COMMON
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


class MmdetMultiScaleNames(MmdetNames):
    """mmdetection's keys with its neck: convolutions without bias, levels above the backbone's apart."""

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames; the neck's convolutions, which have no bias there, get one of zero."""
        state = _number_levels(state)
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
        weight = re.compile(r"neck\.convs\.\d+\.conv\.weight")
        maps = sum(1 for k, t in theirs.items() if weight.fullmatch(k) and t.shape[-1] == 1)
        return {_extra_level(key, maps): tensor for key, tensor in theirs.items()}

    def notes(self, theirs: Mapping[str, Tensor]) -> list[str]:
        """See KeyNames."""
        if any(re.fullmatch(r"neck\.(extra_)?convs\.\d+\.conv\.bias", key) for key in theirs):
            return [
                "the neck's convolutions have a bias, which mmdet's model leaves out: set "
                "model.neck.bias=True in its config"
            ]
        return []


@register
class DeformableDETR(Family):
    """See Family."""

    name = "deformable_detr"
    network = Network
    config = "deformable_detr_r50"
    key_names = (
        OwnNames(("class_heads.", "transformer.level_embed")),
        OfficialNames(
            OFFICIAL,
            ("class_embed.", "transformer.level_embed"),
            SharedHeads("class_embed", "bbox_embed", "transformer.decoder."),
        ),
        MmdetMultiScaleNames(
            MMDET,
            ("bbox_head.cls_branches.", "level_embed"),
            SharedHeads("bbox_head.cls_branches", "bbox_head.reg_branches"),
        ),
        HuggingFaceNames(
            HUGGINGFACE,
            ("model.encoder.layers.", "model.level_embed"),
            SharedHeads("class_embed", "bbox_embed", "model.decoder."),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        num_classes, embed_dims = state["class_heads.0.weight"].shape
        queries = state.get("query_embed.weight")
        num_levels = len(state["transformer.level_embed"])
        levels = [state.get(f"neck.levels.{level}.conv.weight") for level in range(num_levels)]
        num_maps = sum(1 for weight in levels if weight is not None and weight.shape[-1] == 1)
        refine, two_stage = count(state, "box_heads.") > 1, "proposals.memory_proj.weight" in state
        num_heads, num_points = _heads_and_points(state, num_levels)
        ffn_dims = len(state.get("transformer.decoder_layers.0.ffn.linear1.bias", ()))
        depth = resnet_depth(state)
        foreign = (
            "backbone" if depth is None else "neck" if not num_maps else None if ffn_dims else "transformer"
        )
        backbone, channels = resnet_config(depth or 50, (8, 16, 32)[-num_maps:])
        num_queries = None if queries is None else len(queries)
        network = dict(
            type="DeformableDETR",
            num_classes=num_classes,
            num_queries=num_queries or 300,
            backbone=backbone,
            neck=dict(
                type="ChannelMapper",
                in_channels=channels,
                out_channels=embed_dims,
                num_levels=num_levels,
            ),
            position_encoding=dict(type="SinePositionEncoding", num_feats=embed_dims // 2, offset=-0.5),
            transformer=dict(
                type="DeformableTransformer",
                embed_dims=embed_dims,
                num_heads=num_heads,
                num_encoder_layers=count(state, "transformer.encoder_layers."),
                num_decoder_layers=count(state, "transformer.decoder_layers."),
                ffn_dims=ffn_dims,
                num_levels=num_levels,
                num_points=num_points,
            ),
            refine=refine,
            two_stage=two_stage,
        )
        name = f"{self.name}_r{depth}" if depth else self.name
        name += "_two_stage" if two_stage else "_refine" if refine else ""
        name += "_single_scale" if num_levels == 1 else ""
        return Architecture(self, name, num_classes, num_queries, network, foreign)

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family: the head of the proposals, which comes last, knows one class only."""
        last = -1
        if "proposals.memory_proj.weight" in state:
            last = count(state, "class_heads.") - 1
        return {
            key: ClassRows(only_object=key.startswith(f"class_heads.{last}."))
            for key in state
            if key.startswith("class_heads.")
        }

    def set_num_heads(self, network: dict[str, Any], num_heads: int) -> None:
        """See Family: the product of heads and points is what weights tell."""
        transformer = network["transformer"]
        transformer["num_points"] = transformer["num_heads"] * transformer["num_points"] // num_heads
        transformer["num_heads"] = num_heads

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any]:
        """See Family."""
        network, num_queries = architecture.network, architecture.num_queries or 300
        return {
            "model_type": "deformable_detr",
            "architectures": ["DeformableDetrForObjectDetection"],
            **huggingface.common_config(architecture, categories, dilation),
            "num_feature_levels": network["transformer"]["num_levels"],
            "encoder_n_points": network["transformer"]["num_points"],
            "decoder_n_points": network["transformer"]["num_points"],
            "with_box_refine": network["refine"],
            "two_stage": network["two_stage"],
            "two_stage_num_proposals": num_queries,
            # Version 5 would tie the class heads of a refinement model into one and change its results.
            "tie_word_embeddings": False,
        }

    def transformers_processor(self) -> dict[str, Any]:
        """See Family."""
        return {"image_processor_type": "DeformableDetrImageProcessor", **super().transformers_processor()}


def _heads_and_points(state: Mapping[str, Tensor], num_levels: int) -> tuple[int, int]:
    """Of their product, which is all that shapes tell: 8 heads, or 4 points where that does not divide."""
    biases = state.get("transformer.decoder_layers.0.cross_attn.attention_weights.bias", ())
    product = len(biases) // num_levels
    return (8, product // 8) if product % 8 == 0 else (product // 4, 4)


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
