"""Conditional DETR (Meng et al. 2021) as the rest of the house sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..categories import Categories
from ..models.conditional_detr import ConditionalDETR as Network
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import HuggingFaceNames, MmdetNames, OfficialNames, huggingface, mmdet, official
from .key_names import OwnNames
from .registered import register
from .rules import rules
from .single_scale import SingleScaleParts

OFFICIAL = rules(
    official.CONDITIONAL
    + """
reference_points.layers.{i}.{p}     transformer.decoder.ref_point_head.layers.{i}.{p}
"""
    + official.COMMON
)

MMDET = rules(
    mmdet.CONDITIONAL
    + """
reference_points.layers.{i}.{p}     decoder.ref_point_head.layers.{i}.{p}
box_head.layers.0.{p}               bbox_head.reg_ffn.layers.0.0.{p}
box_head.layers.1.{p}               bbox_head.reg_ffn.layers.1.{p}
box_head.layers.2.{p}               bbox_head.fc_reg.{p}
"""
    + mmdet.COMMON
)

HUGGINGFACE = rules(
    """
neck.levels.0.conv.{p}                  model.input_projection.{p}
ours.self_attn.query_content.{p}        theirs.sa_qcontent_proj.{p}
ours.self_attn.query_position.{p}       theirs.sa_qpos_proj.{p}
ours.self_attn.key_content.{p}          theirs.sa_kcontent_proj.{p}
ours.self_attn.key_position.{p}         theirs.sa_kpos_proj.{p}
ours.self_attn.value.{p}                theirs.sa_v_proj.{p}
ours.cross_attn.query_content.{p}       theirs.ca_qcontent_proj.{p}
ours.cross_attn.query_position.{p}      theirs.ca_qpos_proj.{p}
ours.cross_attn.query_sine.{p}          theirs.ca_qpos_sine_proj.{p}
ours.cross_attn.key_content.{p}         theirs.ca_kcontent_proj.{p}
ours.cross_attn.key_position.{p}        theirs.ca_kpos_proj.{p}
ours.cross_attn.value.{p}               theirs.ca_v_proj.{p}
transformer.decoder_norm.{p}            model.decoder.layernorm.{p}
transformer.query_scale.layers.{i}.{p}  model.decoder.query_scale.layers.{i}.{p}
reference_points.layers.{i}.{p}         model.decoder.ref_point_head.layers.{i}.{p}
class_head.{p}                          class_labels_classifier.{p}
box_head.layers.{i}.{p}                 bbox_predictor.layers.{i}.{p}
""".replace("ours.", "transformer.decoder_layers.{i}.").replace("theirs.", "model.decoder.layers.{i}.")
    + huggingface.COMMON
)


class HuggingFaceConditionalNames(HuggingFaceNames):
    """transformers' keys; version 5 has the projections of attention inside of it."""

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        return super().to_ours({_outside(key): tensor for key, tensor in state.items()})


def _outside(key: str) -> str:
    """decoder.layers.0.self_attn.q_content_proj -> decoder.layers.0.sa_qcontent_proj."""
    match = re.fullmatch(r"(.*decoder\.layers\.\d+)\.(self|encoder)_attn\.([qkv]_\w*proj)\.(\w+)", key)
    if match is None:
        return key
    layer, kind, projection, part = match.groups()
    name = projection if projection == "v_proj" else projection.replace("_", "", 1)
    return f"{layer}.{'sa' if kind == 'self' else 'ca'}_{name}.{part}"


@register
class ConditionalDETR(Family):
    """See Family."""

    name = "conditional_detr"
    network = Network
    config = "conditional_detr_r50"
    key_names = (
        OwnNames(("class_head.", "reference_points.layers.")),
        OfficialNames(
            OFFICIAL,
            ("class_embed.", "query_embed.", "transformer.decoder.ref_point_head."),
        ),
        MmdetNames(MMDET, ("bbox_head.fc_cls.", "decoder.ref_point_head.")),
        HuggingFaceConditionalNames(
            HUGGINGFACE,
            ("model.encoder.layers.", "class_labels_classifier.", "model.decoder.ref_point_head."),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        parts = SingleScaleParts.of(state)
        num_classes, num_queries = len(state["class_head.weight"]), len(state["query_embed.weight"])
        network = dict(
            type="ConditionalDETR",
            num_classes=num_classes,
            num_queries=num_queries,
            backbone=parts.backbone,
            neck=parts.neck,
            position_encoding=dict(type="SinePositionEncoding", num_feats=parts.embed_dims // 2),
            transformer=dict(type="ConditionalTransformer", **parts.transformer),
        )
        name = f"{self.name}_r{parts.depth}" if parts.depth else self.name
        return Architecture(self, name, num_classes, num_queries, network, parts.foreign_part)

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family."""
        return {key: ClassRows() for key in state if key.startswith("class_head.")}

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any]:
        """See Family."""
        return {
            "model_type": "conditional_detr",
            "architectures": ["ConditionalDetrForObjectDetection"],
            **huggingface.common_config(architecture, categories, dilation),
        }

    def transformers_processor(self) -> dict[str, Any]:
        """See Family."""
        return {"image_processor_type": "ConditionalDetrImageProcessor", **super().transformers_processor()}
