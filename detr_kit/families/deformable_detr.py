"""Deformable DETR and its variants (Zhu et al. 2021) as the rest of the house sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..categories import Categories
from ..models.deformable_detr import DeformableDETR as Network
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import HuggingFaceNames, MmdetMultiScaleNames, OfficialNames, huggingface, mmdet, official
from .key_names import OwnNames
from .multi_scale import MultiScaleParts, correct_num_heads
from .registered import register
from .resnet import count
from .rules import rules
from .shared_heads import SharedHeads

OFFICIAL = rules(
    official.COMMON
    + official.MULTI_SCALE
    + """
reference_points.{p}                                transformer.reference_points.{p}
proposals.memory_proj.{p}                           transformer.enc_output.{p}
proposals.memory_norm.{p}                           transformer.enc_output_norm.{p}
proposals.query_proj.{p}                            transformer.pos_trans.{p}
proposals.query_norm.{p}                            transformer.pos_trans_norm.{p}
class_heads.{i}.{p}                                 class_embed.{i}.{p}
box_heads.{i}.layers.{j}.{p}                        bbox_embed.{i}.layers.{j}.{p}
"""
)

MMDET = rules(
    mmdet.COMMON
    + mmdet.MULTI_SCALE
    + """
reference_points.{p}                                    reference_points_fc.{p}
proposals.memory_proj.{p}                               memory_trans_fc.{p}
proposals.memory_norm.{p}                               memory_trans_norm.{p}
proposals.query_proj.{p}                                pos_trans_fc.{p}
proposals.query_norm.{p}                                pos_trans_norm.{p}
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
        parts = MultiScaleParts.of(state)
        num_classes = len(state["class_heads.0.weight"])
        queries = state.get("query_embed.weight")
        refine, two_stage = count(state, "box_heads.") > 1, "proposals.memory_proj.weight" in state
        num_queries = None if queries is None else len(queries)
        network = dict(
            type="DeformableDETR",
            num_classes=num_classes,
            num_queries=num_queries or 300,
            backbone=parts.backbone,
            neck=parts.neck,
            position_encoding=dict(type="SinePositionEncoding", num_feats=parts.embed_dims // 2, offset=-0.5),
            transformer=parts.transformer,
            refine=refine,
            two_stage=two_stage,
        )
        name = f"{self.name}_{parts.backbone_name}" if parts.backbone_name else self.name
        name += "_two_stage" if two_stage else "_refine" if refine else ""
        name += "_single_scale" if parts.transformer["num_levels"] == 1 else ""
        return Architecture(self, name, num_classes, num_queries, network, parts.foreign_part)

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
        """See Family."""
        correct_num_heads(network, num_heads)

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
