"""DETR (Carion et al. 2020) as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..categories import Categories
from ..models.detr import DETR as Network
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import HuggingFaceNames, MmdetNames, OfficialNames, huggingface, mmdet, official
from .key_names import OwnNames
from .registered import register
from .rules import rules
from .single_scale import SingleScaleParts

OFFICIAL = rules(
    official.COMMON
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

MMDET = rules(
    mmdet.COMMON
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

HUGGINGFACE = rules(
    huggingface.COMMON
    + """
neck.levels.0.conv.{p}                                  model.input_projection.{p}
transformer.decoder_norm.{p}                            model.decoder.layernorm.{p}
class_head.{p}                                          class_labels_classifier.{p}
box_head.layers.{i}.{p}                                 bbox_predictor.layers.{i}.{p}
"""
)


@register
class DETR(Family):
    """See Family."""

    name = "detr"
    network = Network
    config = "detr_r50"
    key_names = (
        OwnNames(("class_head.",)),
        OfficialNames(OFFICIAL, ("class_embed.",)),
        MmdetNames(MMDET, ("bbox_head.fc_cls.",)),
        HuggingFaceNames(HUGGINGFACE, ("model.encoder.layers.", "class_labels_classifier.")),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        parts = SingleScaleParts.of(state)
        num_classes = len(state["class_head.weight"]) - 1
        queries = state.get("query_embed.weight")
        num_queries = None if queries is None else len(queries)
        network = dict(
            type="DETR",
            num_classes=num_classes,
            num_queries=num_queries or 100,
            backbone=parts.backbone,
            neck=parts.neck,
            position_encoding=dict(type="SinePositionEncoding", num_feats=parts.embed_dims // 2),
            transformer=dict(type="DetrTransformer", **parts.transformer),
        )
        name = f"detr_r{parts.depth}" if parts.depth else "detr"
        return Architecture(self, name, num_classes, num_queries, network, parts.foreign_part)

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family: "no object" is last."""
        return {key: ClassRows(extra=1) for key in state if key.startswith("class_head.")}

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any]:
        """See Family."""
        return {
            "model_type": "detr",
            "architectures": ["DetrForObjectDetection"],
            **huggingface.common_config(architecture, categories, dilation),
        }

    def transformers_processor(self) -> dict[str, Any]:
        """See Family."""
        return {"image_processor_type": "DetrImageProcessor", **super().transformers_processor()}
