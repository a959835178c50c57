"""RT-DETRv2 (Lv et al. 2024) as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..categories import Categories
from ..models.queries.proposals import proposal_anchors
from ..models.rt_detr_v2 import RTDETRv2 as Network
from . import resnet_d, rt_detr
from .architecture import Architecture
from .key_names import OwnNames
from .registered import register
from .rules import rules

OFFICIAL_ENDS = """
neck.projections.{rest}                         encoder.input_proj.{rest}
proposals.memory_proj.{p}                       decoder.enc_output.proj.{p}
proposals.memory_norm.{p}                       decoder.enc_output.norm.{p}
"""
"""Names that RT-DETRv2 and D-FINE changed."""

OFFICIAL = rules(
    resnet_d.official_table() + rt_detr.OFFICIAL_COMMON + rt_detr.OFFICIAL_FUSION + OFFICIAL_ENDS
)

HUGGINGFACE = rules(
    "decoder.layers.{i}.cross_attn.num_points_scale  model.decoder.layers.{i}.encoder_attn.n_points_scale\n"
    + resnet_d.huggingface_table()
    + rt_detr.HUGGINGFACE_COMMON
    + rt_detr.HUGGINGFACE_FUSION
)

_SIZE = 640  # of the images that the original keeps anchors for


class OfficialNames(rt_detr.OfficialNames):
    """Keys of rtdetrv2_pytorch and of what grew from it; anchors for square images lie beside weights."""

    constants = ("decoder.anchors", "decoder.valid_mask")

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames; anchors follow from the image, and are left out."""
        return super().to_ours({key: t for key, t in state.items() if key not in self.constants})

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames."""
        strides = (8, 16, 32)[-architecture.network["decoder"]["num_levels"] :]
        masks = [torch.zeros(1, _SIZE // stride, _SIZE // stride, dtype=torch.bool) for stride in strides]
        anchors, invalid = proposal_anchors(masks)
        theirs = super().from_ours(state, architecture)
        return theirs | {"decoder.anchors": anchors, "decoder.valid_mask": ~invalid[..., None]}

    def notes(self, theirs: Mapping[str, Tensor]) -> list[str]:
        """See KeyNames."""
        return [f"decoder.anchors are those of eval_spatial_size [{_SIZE}, {_SIZE}], as in their configs"]


@register
class RTDETRv2(rt_detr.RTDETR):
    """See Family."""

    name = "rt_detr_v2"
    network = Network
    config = "rt_detr_v2_r50"
    key_names = (
        OwnNames(
            (
                "proposals.class_head.",
                "decoder.query_position.",
                "decoder.layers.0.cross_attn.num_points_scale",
            )
        ),
        OfficialNames(OFFICIAL, ("decoder.enc_score_head.", "decoder.enc_output.proj.")),
        rt_detr.TransformersNames(
            HUGGINGFACE,
            (
                "model.enc_score_head.",
                "model.encoder_input_proj.",
                "model.decoder.layers.0.encoder_attn.n_points_scale",
            ),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        found = super().architecture_of(state)
        found.network["decoder"]["num_points"] = points_of_levels(state)
        return found

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any]:
        """See Family."""
        return super().transformers_config(architecture, categories, dilation) | {
            "model_type": "rt_detr_v2",
            "architectures": ["RTDetrV2ForObjectDetection"],
            "decoder_n_levels": architecture.network["decoder"]["num_levels"],
            "decoder_n_points": architecture.network["decoder"]["num_points"][0],
        }


def points_of_levels(state: Mapping[str, Tensor]) -> list[int]:
    """Each point says by its share how many there are on its level."""
    shares = state["decoder.layers.0.cross_attn.num_points_scale"].tolist()
    points: list[int] = []
    start = 0
    while start < len(shares):
        points.append(max(1, round(1 / shares[start])))
        start += points[-1]
    return points
