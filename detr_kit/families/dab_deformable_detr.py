"""DAB-Deformable-DETR (Liu et al. 2022) and DN-Deformable-DETR as the rest of the house sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..models.dab_deformable_detr import DabDeformableDETR as Network
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import OfficialNames, official
from .key_names import OwnNames
from .layer_heads import LayerHeads
from .multi_scale import MultiScaleParts, correct_num_heads
from .registered import register
from .rules import rules

OFFICIAL = rules(
    """
query_embed.weight                      tgt_embed.weight
reference_embed.weight                  refpoint_embed.weight
label_queries.label_embed.weight        label_enc.weight
query_position.layers.{i}.{p}           transformer.decoder.ref_point_head.layers.{i}.{p}
query_scale.layers.{i}.{p}              transformer.decoder.query_scale.layers.{i}.{p}
class_heads.{i}.{p}                     class_embed.{i}.{p}
box_heads.{i}.layers.{j}.{p}            bbox_embed.{i}.layers.{j}.{p}
"""
    + official.COMMON
    + official.MULTI_SCALE
)


@register
class DabDeformableDETR(Family):
    """See Family; a network with an embedding of classes is DN-Deformable-DETR."""

    name = "dab_deformable_detr"
    network = Network
    config = "dab_deformable_detr_r50"
    key_names = (
        OwnNames(("class_heads.", "transformer.level_embed", "reference_embed.")),
        OfficialNames(
            OFFICIAL,
            ("class_embed.", "transformer.level_embed", "tgt_embed.", "refpoint_embed."),
            LayerHeads(
                ("class_embed", "bbox_embed"), "transformer.decoder.", aliased=("bbox_embed",), shared=False
            ),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        parts = MultiScaleParts.of(state)
        num_classes, num_queries = len(state["class_heads.0.weight"]), len(state["query_embed.weight"])
        denoises = "label_queries.label_embed.weight" in state
        network = dict(
            type="DabDeformableDETR",
            num_classes=num_classes,
            num_queries=num_queries,
            denoising=dict(type="Denoising", num_groups=5) if denoises else None,
            backbone=parts.backbone,
            neck=parts.neck,
            position_encoding=dict(type="SinePositionEncoding", num_feats=parts.embed_dims // 2, offset=-0.5),
            transformer=dict(**parts.transformer, dropout=0.0),
        )
        name = "dn_deformable_detr" if denoises else self.name
        name += f"_{parts.backbone_name}" if parts.backbone_name else ""
        return Architecture(self, name, num_classes, num_queries, network, parts.foreign_part)

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family; after the classes there is "unknown"."""
        rows = {key: ClassRows() for key in state if key.startswith("class_heads.")}
        return rows | {key: ClassRows(extra=1) for key in state if key == "label_queries.label_embed.weight"}

    def set_num_heads(self, network: dict[str, Any], num_heads: int) -> None:
        """See Family."""
        correct_num_heads(network, num_heads)
