"""DINO (Zhang et al. 2023) as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..models.dino import DINO as Network
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import DetrexNames, MmdetMultiScaleNames, OfficialNames, detrex, mmdet, official
from .key_names import KeyNames, OwnNames
from .layer_heads import LayerHeads
from .multi_scale import MultiScaleParts, correct_num_heads
from .registered import register
from .resnet import count
from .rules import Rule, rules
from .swin import swin_from_ours, swin_to_ours
from .swin_mmdet import swin_from_mmdet, swin_to_mmdet

OFFICIAL = rules(
    """
query_embed.weight                      transformer.tgt_embed.weight
label_embed.weight                      label_enc.weight
selection.memory_proj.{p}               transformer.enc_output.{p}
selection.memory_norm.{p}               transformer.enc_output_norm.{p}
selection.class_head.{p}                transformer.enc_out_class_embed.{p}
selection.box_head.layers.{i}.{p}       transformer.enc_out_bbox_embed.layers.{i}.{p}
query_position.layers.{i}.{p}           transformer.decoder.ref_point_head.layers.{i}.{p}
decoder_norm.{p}                        transformer.decoder.norm.{p}
class_heads.{i}.{p}                     class_embed.{i}.{p}
box_heads.{i}.layers.{j}.{p}            bbox_embed.{i}.layers.{j}.{p}
"""
    + official.COMMON
    + official.MULTI_SCALE
)

MMDET = rules(
    mmdet.COMMON
    + mmdet.MULTI_SCALE
    + """
label_embed.weight                      dn_query_generator.label_embedding.weight
selection.memory_proj.{p}               memory_trans_fc.{p}
selection.memory_norm.{p}               memory_trans_norm.{p}
selection.class_head.{p}                bbox_head.cls_branches.encoder.{p}
selection.box_head.layers.0.{p}         bbox_head.reg_branches.encoder.0.{p}
selection.box_head.layers.1.{p}         bbox_head.reg_branches.encoder.2.{p}
selection.box_head.layers.2.{p}         bbox_head.reg_branches.encoder.4.{p}
query_position.layers.{i}.{p}           decoder.ref_point_head.layers.{i}.{p}
decoder_norm.{p}                        decoder.norm.{p}
"""
)

DETREX = rules(
    detrex.COMMON
    + detrex.MULTI_SCALE
    + """
query_embed.weight                      transformer.tgt_embed.weight
label_embed.weight                      label_enc.weight
selection.memory_proj.{p}               transformer.enc_output.{p}
selection.memory_norm.{p}               transformer.enc_output_norm.{p}
selection.class_head.{p}                class_embed.encoder.{p}
selection.box_head.layers.{i}.{p}       bbox_embed.encoder.layers.{i}.{p}
query_position.layers.{i}.{p}           transformer.decoder.ref_point_head.layers.{i}.{p}
decoder_norm.{p}                        transformer.decoder.norm.{p}
class_heads.{i}.{p}                     class_embed.{i}.{p}
box_heads.{i}.layers.{j}.{p}            bbox_embed.{i}.layers.{j}.{p}
"""
)


class WithoutSpareLabel(KeyNames):
    """Names of projects whose label embedding has a row a class; ours and the original's has one more."""

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames; the spare row, which nothing reads, is zero."""
        ours = super().to_ours(state)
        if "label_embed.weight" in ours:
            ours["label_embed.weight"] = F.pad(ours["label_embed.weight"], (0, 0, 0, 1))
        return ours

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames."""
        state = dict(state)
        if "label_embed.weight" in state:
            state["label_embed.weight"] = state["label_embed.weight"][:-1].clone()
        return super().from_ours(state, architecture)


class MmdetDinoNames(WithoutSpareLabel, MmdetMultiScaleNames):
    """mmdetection's keys, with a ResNet or a Swin Transformer."""

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        return super().to_ours(swin_from_mmdet(state))

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames."""
        return super().from_ours(swin_to_mmdet(state), architecture)


class DetrexDinoNames(WithoutSpareLabel, DetrexNames):
    """detrex's keys; its position encoding is Deformable DETR's."""

    variant = "detrex"
    differences: Mapping[str, Mapping[str, Any]] = {
        "position_encoding": {"temperature": 10000, "offset": -0.5}
    }

    def notes(self, theirs: Mapping[str, Tensor]) -> list[str]:
        """See KeyNames."""
        return [
            "detrex encodes positions otherwise: set model.position_embedding.temperature=20 and "
            "model.position_embedding.offset=0.0 in its config"
        ]


class OfficialDinoNames(OfficialNames):
    """The original's keys, with a ResNet or a Swin Transformer."""

    beginnings = ("backbone.0.",)

    def __init__(self, table: Sequence[Rule], marks: tuple[str, ...], heads: LayerHeads) -> None:
        super().__init__(table, marks, heads)
        self.marks = (*self.beginnings, *marks)

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        return super().to_ours(swin_to_ours(state))

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames."""
        renamed = swin_from_ours(state)
        swin = {key: tensor for key, tensor in renamed.items() if key not in state}
        kept = {key: tensor for key, tensor in renamed.items() if key in state}
        return swin | super().from_ours(kept, architecture)


@register
class DINO(Family):
    """See Family."""

    name = "dino"
    network = Network
    config = "dino_r50_4scale"
    key_names = (
        OwnNames(("class_heads.", "transformer.level_embed", "selection.", "query_position.")),
        OfficialDinoNames(
            OFFICIAL,
            ("class_embed.", "transformer.level_embed", "transformer.enc_output.", "transformer.tgt_embed."),
            LayerHeads(("class_embed", "bbox_embed"), "transformer.decoder."),
        ),
        MmdetDinoNames(
            MMDET,
            ("bbox_head.cls_branches.", "level_embed", "memory_trans_fc.", "decoder.ref_point_head."),
            LayerHeads(("bbox_head.cls_branches", "bbox_head.reg_branches"), encoder_is_last=True),
        ),
        DetrexDinoNames(
            DETREX,
            ("class_embed.", "transformer.level_embeds", "transformer.tgt_embed."),
            LayerHeads(("class_embed", "bbox_embed"), "transformer.decoder.", encoder_is_last=True),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        parts = MultiScaleParts.of(state)
        num_classes, num_queries = len(state["class_heads.0.weight"]), len(state["query_embed.weight"])
        denoising = dict(type="ContrastiveDenoising", num_denoising=100)
        num_levels = parts.transformer["num_levels"]
        network = dict(
            type="DINO",
            num_classes=num_classes,
            num_queries=num_queries,
            backbone=parts.backbone,
            neck=parts.neck,
            position_encoding=dict(
                type="SinePositionEncoding", num_feats=parts.embed_dims // 2, temperature=20
            ),
            transformer=dict(**parts.transformer, dropout=0.0),
            denoising=denoising if "label_embed.weight" in state else None,
            share_heads=count(state, "class_heads.") == 1,
        )
        name = f"{self.name}_{parts.backbone_name}_{num_levels}scale" if parts.backbone_name else self.name
        name += "" if network["share_heads"] else "_own_heads"
        return Architecture(self, name, num_classes, num_queries, network, parts.foreign_part)

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family: every head knows classes; the label embedding has a row more than there are."""
        heads = ("class_heads.", "selection.class_head.")
        rows = {key: ClassRows() for key in state if key.startswith(heads)}
        return rows | {key: ClassRows(extra=1) for key in state if key == "label_embed.weight"}

    def set_num_heads(self, network: dict[str, Any], num_heads: int) -> None:
        """See Family."""
        correct_num_heads(network, num_heads)
