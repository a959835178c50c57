"""D-FINE (Peng et al. 2025) as the rest of the house sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..categories import Categories
from ..models.backbones.hgnet_v2 import VARIANTS
from ..models.d_fine import DFINE as Network
from . import rt_detr, rt_detr_v2
from .architecture import Architecture
from .key_names import OwnNames
from .registered import register
from .resnet import count
from .rules import rules

OFFICIAL = rules(
    "backbone.{rest}  backbone.{rest}\n"
    + "\n".join(
        f"""
neck.{ours}.{{i}}.csp1.blocks.{{j}}.{{rest}}    encoder.{theirs}.{{i}}.cv2.0.bottlenecks.{{j}}.{{rest}}
neck.{ours}.{{i}}.csp2.blocks.{{j}}.{{rest}}    encoder.{theirs}.{{i}}.cv3.0.bottlenecks.{{j}}.{{rest}}
neck.{ours}.{{i}}.csp1.{{rest}}                 encoder.{theirs}.{{i}}.cv2.0.{{rest}}
neck.{ours}.{{i}}.csp2.{{rest}}                 encoder.{theirs}.{{i}}.cv3.0.{{rest}}
neck.{ours}.{{i}}.conv1.{{rest}}                encoder.{theirs}.{{i}}.cv1.{{rest}}
neck.{ours}.{{i}}.conv2.{{rest}}                encoder.{theirs}.{{i}}.cv2.1.{{rest}}
neck.{ours}.{{i}}.conv3.{{rest}}                encoder.{theirs}.{{i}}.cv3.1.{{rest}}
neck.{ours}.{{i}}.conv4.{{rest}}                encoder.{theirs}.{{i}}.cv4.{{rest}}
"""
        for ours, theirs in (("top_down", "fpn_blocks"), ("bottom_up", "pan_blocks"))
    )
    + """
neck.downsamples.{i}.conv1.{rest}               encoder.downsample_convs.{i}.0.cv1.{rest}
neck.downsamples.{i}.conv2.{rest}               encoder.downsample_convs.{i}.0.cv2.{rest}
decoder.layers.{i}.gateway.{rest}               decoder.decoder.layers.{i}.gateway.{rest}
first_box_head.{rest}                           decoder.pre_bbox_head.{rest}
quality_heads.{i}.mlp.{rest}                    decoder.decoder.lqe_layers.{i}.reg_conf.{rest}
up                                              decoder.up
scale                                           decoder.reg_scale
"""
    + rt_detr.OFFICIAL_COMMON
    + rt_detr_v2.OFFICIAL_ENDS
)

_STAGES = "model.backbone.model.encoder.stages"
HUGGINGFACE = rules(
    f"""
backbone.stem.{{name}}.conv.weight                  model.backbone.model.embedder.{{name}}.convolution.weight
backbone.stem.{{name}}.bn.{{rest}}  model.backbone.model.embedder.{{name}}.normalization.{{rest}}
backbone.stem.{{name}}.lab.{{rest}}                 model.backbone.model.embedder.{{name}}.lab.{{rest}}
backbone.stages.{{i}}.downsample.conv.weight        {_STAGES}.{{i}}.downsample.convolution.weight
backbone.stages.{{i}}.downsample.bn.{{rest}}        {_STAGES}.{{i}}.downsample.normalization.{{rest}}
backbone.stages.{{i}}.blocks.{{rest}}.conv.weight   {_STAGES}.{{i}}.blocks.{{rest}}.convolution.weight
backbone.stages.{{i}}.blocks.{{rest}}.bn.{{name}}   {_STAGES}.{{i}}.blocks.{{rest}}.normalization.{{name}}
backbone.stages.{{i}}.blocks.{{rest}}.lab.{{name}}  {_STAGES}.{{i}}.blocks.{{rest}}.lab.{{name}}
"""
    + "\n".join(
        f"""
neck.{ours}.{{i}}.csp{{j}}.blocks.{{rest}}      model.encoder.{theirs}.{{i}}.csp_rep{{j}}.bottlenecks.{{rest}}
neck.{ours}.{{i}}.csp{{j}}.{{rest}}             model.encoder.{theirs}.{{i}}.csp_rep{{j}}.{{rest}}
neck.{ours}.{{rest}}                            model.encoder.{theirs}.{{rest}}
"""
        for ours, theirs in (("top_down", "fpn_blocks"), ("bottom_up", "pan_blocks"))
    )
    + """
neck.downsamples.{rest}                         model.encoder.downsample_convs.{rest}
decoder.layers.{i}.gateway.{rest}               model.decoder.layers.{i}.gateway.{rest}
first_box_head.{rest}                           model.decoder.pre_bbox_head.{rest}
quality_heads.{i}.mlp.{rest}                    model.decoder.lqe_layers.{i}.reg_conf.{rest}
up                                              model.decoder.up
scale                                           model.decoder.reg_scale
"""
    + rt_detr.HUGGINGFACE_COMMON
)


class OfficialNames(rt_detr_v2.OfficialNames):
    """Keys of Peterande/D-FINE; two numbers are there twice."""

    _aliased = ("up", "reg_scale")

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See KeyNames."""
        aliases = {f"decoder.decoder.{name}" for name in self._aliased}
        return super().to_ours({key: tensor for key, tensor in state.items() if key not in aliases})

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """See KeyNames."""
        theirs = super().from_ours(state, architecture)
        return theirs | {f"decoder.decoder.{name}": theirs[f"decoder.{name}"] for name in self._aliased}


class TransformersNames(rt_detr.TransformersNames):
    """transformers' keys."""

    def version_4(self, key: str) -> str:
        """See HuggingFaceNames."""
        key = re.sub(r"\.mlp\.layers\.([01])\.", lambda match: f".fc{int(match.group(1)) + 1}.", key)
        return super().version_4(key)


@register
class DFINE(rt_detr.RTDETR):
    """See Family."""

    name = "d_fine"
    network = Network
    config = "d_fine_s"
    key_names = (
        OwnNames(("proposals.class_head.", "decoder.query_position.", "first_box_head.", "quality_heads.")),
        OfficialNames(
            OFFICIAL, ("decoder.enc_score_head.", "decoder.enc_output.proj.", "decoder.pre_bbox_head.")
        ),
        TransformersNames(
            HUGGINGFACE,
            (
                "model.enc_score_head.",
                "model.encoder_input_proj.",
                "model.decoder.pre_bbox_head.",
                "model.decoder.lqe_layers.",
            ),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        num_classes, _ = state["proposals.class_head.weight"].shape
        variant = _variant(state)
        neck, decoder = rt_detr.neck_config(state), rt_detr.decoder_config(state)
        attention = "decoder.layers.0.cross_attn"
        num_points = len(state[f"{attention}.num_points_scale"])
        num_heads = len(state[f"{attention}.attention_weights.bias"]) // num_points
        decoder |= dict(
            type="DFINEDecoder", num_heads=num_heads, num_points=rt_detr_v2.points_of_levels(state)
        )
        num_levels = decoder["num_levels"]
        stages = VARIANTS[variant or "B0"].stages[: _num_stages(state) if variant else None]
        neck |= dict(
            type="ElanHybridEncoder",
            num_heads=num_heads,
            in_channels=[stage.out_channels for stage in stages[-num_levels:]],
            fusion_channels=len(state["neck.top_down.0.conv2.conv.weight"]),
            fusion_blocks=count(state, "neck.top_down.0.csp1.blocks."),
        )
        is_counting = "backbone.stem.stem1.bn.num_batches_tracked" in state
        denoising = rt_detr.denoising_config(state)
        if denoising is not None:
            denoising["swap_crossed"] = True
        network = dict(
            type="DFINE",
            num_classes=num_classes,
            num_queries=300,
            num_bins=len(state["box_heads.0.layers.2.bias"]) // 4 - 1,
            up=state["up"].flatten()[0].item(),
            scale=state["scale"].flatten()[0].item(),
            backbone=dict(
                type="HGNetv2",
                variant=variant or "B0",
                strides=(4, 8, 16, 32)[: len(stages)][-num_levels:],
                norm="batch" if is_counting else "frozen",
                frozen_stages=-1 if is_counting else 0,
            ),
            neck=neck,
            decoder=decoder,
            denoising=denoising,
        )
        size = "n" if num_levels == 2 else {"B0": "s", "B2": "m", "B4": "l", "B5": "x"}.get(variant or "")
        name = f"{self.name}_{size}" if size else self.name
        return Architecture(self, name, num_classes, None, network, None if variant else "backbone")

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any]:
        """See Family."""
        network = architecture.network
        return {
            "model_type": "d_fine",
            "architectures": ["DFineForObjectDetection"],
            "backbone_config": _transformers_backbone(network["backbone"]),
            "freeze_backbone_batch_norms": network["backbone"]["norm"] == "frozen",
            **rt_detr.common_config(architecture, categories),
            "feat_strides": list(network["backbone"]["strides"]),
            "decoder_n_points": network["decoder"]["num_points"],
            "hidden_expansion": 2 * network["neck"]["fusion_channels"] / network["neck"]["out_channels"],
            "depth_mult": network["neck"]["fusion_blocks"] / 3,
            "max_num_bins": network["num_bins"],
            "reg_scale": network["scale"],
            "up": network["up"],
        }


def _variant(state: Mapping[str, Tensor]) -> str | None:
    """The HGNetv2 under `backbone.`, which may lack its last stages; None where it is none of ours."""
    stem = tuple(len(state.get(f"backbone.stem.{name}.conv.weight", ())) for name in ("stem1", "stem4"))
    layers = count(state, "backbone.stages.0.blocks.0.layers.")
    blocks = [count(state, f"backbone.stages.{stage}.blocks.") for stage in range(_num_stages(state))]
    hidden = len(state.get("backbone.stages.1.blocks.0.layers.0.conv.weight", ()))
    for name, (known, stages, _) in VARIANTS.items():
        if (known, layers, hidden) == (stem, stages[0].num_layers, stages[1].hidden):
            return name if blocks == [stage.num_blocks for stage in stages[: len(blocks)]] else None
    return None


def _num_stages(state: Mapping[str, Tensor]) -> int:
    return count(state, "backbone.stages.")


def _transformers_backbone(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the same backbone over there."""
    stem, all_stages, affine = VARIANTS[backbone["variant"]]
    numbers = [1 + (4, 8, 16, 32).index(stride) for stride in backbone["strides"]]
    stages = all_stages[: numbers[-1]]
    return {
        "model_type": "hgnet_v2",
        "stem_channels": [3, *stem],
        "depths": [stage.num_blocks for stage in stages],  # as many as there are stages
        "stage_in_channels": [stage.in_channels for stage in stages],
        "stage_mid_channels": [stage.hidden for stage in stages],
        "stage_out_channels": [stage.out_channels for stage in stages],
        "stage_num_blocks": [stage.num_blocks for stage in stages],
        "stage_numb_of_layers": [stage.num_layers for stage in stages],
        "stage_downsample": [index > 0 for index in range(len(stages))],
        "stage_light_block": [index > 1 for index in range(len(stages))],
        "stage_kernel_size": [5 if index > 1 else 3 for index in range(len(stages))],
        "hidden_sizes": [stage.out_channels for stage in stages],
        "use_learnable_affine_block": affine,
        "out_features": [f"stage{number}" for number in numbers],
    }
