"""RT-DETR (Zhao et al. 2024) as the rest of the house sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ..categories import Categories
from ..models.rt_detr import RTDETR as Network
from . import resnet_d
from .architecture import Architecture, ClassRows
from .family import Family
from .formats import HuggingFaceNames
from .key_names import KeyNames, OwnNames
from .registered import register
from .resnet import count, resnet_config, resnet_depth
from .rules import rules

# What RT-DETR, RT-DETRv2 and D-FINE have in common.
OFFICIAL_COMMON = """
neck.encoder_layers.{i}.self_attn.{rest}        encoder.encoder.0.layers.{i}.self_attn.{rest}
neck.encoder_layers.{i}.norm_self_attn.{p}      encoder.encoder.0.layers.{i}.norm1.{p}
neck.encoder_layers.{i}.ffn.{linear}.{p}        encoder.encoder.0.layers.{i}.{linear}.{p}
neck.encoder_layers.{i}.norm_ffn.{p}            encoder.encoder.0.layers.{i}.norm2.{p}
neck.laterals.{rest}                            encoder.lateral_convs.{rest}
projections.{rest}                              decoder.input_proj.{rest}
proposals.class_head.{p}                        decoder.enc_score_head.{p}
proposals.box_head.{rest}                       decoder.enc_bbox_head.{rest}
decoder.query_position.{rest}                   decoder.query_pos_head.{rest}
decoder.layers.{i}.self_attn.{rest}             decoder.decoder.layers.{i}.self_attn.{rest}
decoder.layers.{i}.norm_self_attn.{p}           decoder.decoder.layers.{i}.norm1.{p}
decoder.layers.{i}.cross_attn.{rest}            decoder.decoder.layers.{i}.cross_attn.{rest}
decoder.layers.{i}.norm_cross_attn.{p}          decoder.decoder.layers.{i}.norm2.{p}
decoder.layers.{i}.ffn.{linear}.{p}             decoder.decoder.layers.{i}.{linear}.{p}
decoder.layers.{i}.norm_ffn.{p}                 decoder.decoder.layers.{i}.norm3.{p}
class_heads.{i}.{p}                             decoder.dec_score_head.{i}.{p}
box_heads.{i}.{rest}                            decoder.dec_bbox_head.{i}.{rest}
denoising_embed.weight                          decoder.denoising_class_embed.weight
"""

# Fusion of RT-DETR and RT-DETRv2.
OFFICIAL_FUSION = """
neck.top_down.{i}.blocks.{j}.{rest}             encoder.fpn_blocks.{i}.bottlenecks.{j}.{rest}
neck.top_down.{i}.{rest}                        encoder.fpn_blocks.{i}.{rest}
neck.downsamples.{rest}                         encoder.downsample_convs.{rest}
neck.bottom_up.{i}.blocks.{j}.{rest}            encoder.pan_blocks.{i}.bottlenecks.{j}.{rest}
neck.bottom_up.{i}.{rest}                       encoder.pan_blocks.{i}.{rest}
"""

OFFICIAL = rules(
    resnet_d.official_table()
    + OFFICIAL_COMMON
    + OFFICIAL_FUSION
    + """
neck.projections.{i}.conv.weight                encoder.input_proj.{i}.0.weight
neck.projections.{i}.norm.{rest}                encoder.input_proj.{i}.1.{rest}
proposals.memory_proj.{p}                       decoder.enc_output.0.{p}
proposals.memory_norm.{p}                       decoder.enc_output.1.{p}
"""
)

HUGGINGFACE_COMMON = """
neck.projections.{i}.conv.weight                model.encoder_input_proj.{i}.0.weight
neck.projections.{i}.norm.{rest}                model.encoder_input_proj.{i}.1.{rest}
neck.encoder_layers.{i}.self_attn.{rest}        model.encoder.encoder.0.layers.{i}.self_attn.{rest}
neck.encoder_layers.{i}.norm_self_attn.{p}      model.encoder.encoder.0.layers.{i}.self_attn_layer_norm.{p}
neck.encoder_layers.{i}.ffn.linear1.{p}         model.encoder.encoder.0.layers.{i}.fc1.{p}
neck.encoder_layers.{i}.ffn.linear2.{p}         model.encoder.encoder.0.layers.{i}.fc2.{p}
neck.encoder_layers.{i}.norm_ffn.{p}            model.encoder.encoder.0.layers.{i}.final_layer_norm.{p}
neck.laterals.{rest}                            model.encoder.lateral_convs.{rest}
projections.{i}.conv.weight                     model.decoder_input_proj.{i}.0.weight
projections.{i}.norm.{rest}                     model.decoder_input_proj.{i}.1.{rest}
proposals.memory_proj.{p}                       model.enc_output.0.{p}
proposals.memory_norm.{p}                       model.enc_output.1.{p}
proposals.class_head.{p}                        model.enc_score_head.{p}
proposals.box_head.{rest}                       model.enc_bbox_head.{rest}
decoder.query_position.{rest}                   model.decoder.query_pos_head.{rest}
decoder.layers.{i}.self_attn.{rest}             model.decoder.layers.{i}.self_attn.{rest}
decoder.layers.{i}.norm_self_attn.{p}           model.decoder.layers.{i}.self_attn_layer_norm.{p}
decoder.layers.{i}.cross_attn.{rest}            model.decoder.layers.{i}.encoder_attn.{rest}
decoder.layers.{i}.norm_cross_attn.{p}          model.decoder.layers.{i}.encoder_attn_layer_norm.{p}
decoder.layers.{i}.ffn.linear1.{p}              model.decoder.layers.{i}.fc1.{p}
decoder.layers.{i}.ffn.linear2.{p}              model.decoder.layers.{i}.fc2.{p}
decoder.layers.{i}.norm_ffn.{p}                 model.decoder.layers.{i}.final_layer_norm.{p}
class_heads.{i}.{p}                             model.decoder.class_embed.{i}.{p}
box_heads.{i}.{rest}                            model.decoder.bbox_embed.{i}.{rest}
denoising_embed.weight                          model.denoising_class_embed.weight
"""

HUGGINGFACE_FUSION = OFFICIAL_FUSION.replace("  encoder.", "  model.encoder.")

HUGGINGFACE = rules(resnet_d.huggingface_table() + HUGGINGFACE_COMMON + HUGGINGFACE_FUSION)


class OfficialNames(KeyNames):
    """Keys of lyuwenyu/RT-DETR and of what grew from it."""

    format = "official"
    beginnings = ("decoder.enc_score_head.",)


class TransformersNames(HuggingFaceNames):
    """transformers' keys, with its own backbones; the decoder's heads may be there twice."""

    counts_batches = True

    def version_4(self, key: str) -> str:
        """See HuggingFaceNames."""
        key = re.sub(r"^(class_embed|bbox_embed)\.", r"model.decoder.\1.", key)
        key = key.replace("model.encoder.aifi.", "model.encoder.encoder.")
        return key if key.startswith("model.backbone.") else super().version_4(key)


@register
class RTDETR(Family):
    """See Family."""

    name = "rt_detr"
    network: ClassVar[type[nn.Module]] = Network
    config = "rt_detr_r50"
    key_names = (
        OwnNames(("proposals.class_head.", "decoder.query_position.")),
        OfficialNames(OFFICIAL, ("decoder.enc_score_head.", "decoder.enc_output.0.")),
        TransformersNames(HUGGINGFACE, ("model.enc_score_head.", "model.encoder_input_proj.")),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        num_classes, _ = state["proposals.class_head.weight"].shape
        depth = resnet_depth(state)
        backbone, channels = resnet_config(depth or 50, (8, 16, 32))
        backbone |= dict(style="d", **resnet_norm(state))
        neck = neck_config(state)
        neck |= dict(
            type="HybridEncoder",
            in_channels=channels,
            fusion_channels=len(state["neck.top_down.0.conv1.conv.weight"]),
            fusion_blocks=count(state, "neck.top_down.0.blocks."),
        )
        decoder = decoder_config(state)
        narrow = depth == 50 and neck["fusion_channels"] < neck["out_channels"]
        if narrow:
            decoder["num_eval_layers"] = min(3, decoder["num_layers"])
        network = dict(
            type=self.network.__name__,
            num_classes=num_classes,
            num_queries=300,
            backbone=backbone,
            neck=neck,
            decoder=decoder,
            denoising=denoising_config(state),
        )
        name = f"{self.name}_r{depth}{'m' if narrow else ''}" if depth else self.name
        return Architecture(self, name, num_classes, None, network, None if depth else "backbone")

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family: padding comes last where labels become queries."""
        rows = {k: ClassRows() for k in state if k.startswith(("class_heads.", "proposals.class_head."))}
        if "denoising_embed.weight" in state:
            rows["denoising_embed.weight"] = ClassRows(extra=1)
        return rows

    def set_num_heads(self, network: dict[str, Any], num_heads: int) -> None:
        """See Family: the product of heads and points is what weights tell."""
        decoder = network["decoder"]
        if isinstance(decoder["num_points"], int):
            decoder["num_points"] = decoder["num_points"] * decoder["num_heads"] // num_heads
        decoder["num_heads"] = network["neck"]["num_heads"] = num_heads

    def explained_modules(self, network: nn.Module) -> tuple[list[nn.Module], nn.Module]:
        """See Family."""
        decoder: Any = network.decoder
        neck: Any = network.neck
        layers = decoder.layers[: decoder.num_eval_layers]
        return [layer.cross_attn for layer in layers], neck.position_encoding

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any]:
        """See Family."""
        return {
            "model_type": "rt_detr",
            "architectures": ["RTDetrForObjectDetection"],
            "backbone_config": resnet_d.transformers_config(architecture.network["backbone"]),
            "freeze_backbone_batch_norms": architecture.network["backbone"]["norm"] == "frozen",
            "decoder_n_points": architecture.network["decoder"]["num_points"],
            **common_config(architecture, categories),
        }

    def transformers_processor(self) -> dict[str, Any]:
        """See Family: pixels in [0, 1], and no more."""
        return {
            "image_processor_type": "RTDetrImageProcessor",
            "size": {"height": 640, "width": 640},
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": False,
            "do_pad": False,
            "format": "coco_detection",
        }


def common_config(architecture: Architecture, categories: Categories) -> dict[str, Any]:
    """What the config.json of RT-DETR, RT-DETRv2 and D-FINE have in common."""
    network = architecture.network
    neck, decoder = network["neck"], network["decoder"]
    num_levels = decoder["num_levels"]
    return {
        "d_model": decoder["embed_dims"],
        "num_queries": architecture.num_queries or network["num_queries"],
        "num_feature_levels": num_levels,
        "feat_strides": [8, 16, 32][-num_levels:],
        "encoder_in_channels": list(neck["in_channels"]),
        "encoder_hidden_dim": neck["out_channels"],
        "encoder_layers": neck["num_layers"],
        "encoder_ffn_dim": neck["ffn_dims"],
        "encoder_attention_heads": neck["num_heads"],
        "encode_proj_layers": [num_levels - 1],
        "hidden_expansion": neck["fusion_channels"] / neck["out_channels"],
        "decoder_in_channels": [neck["out_channels"]] * num_levels,
        "decoder_layers": decoder["num_layers"],
        "decoder_ffn_dim": decoder["ffn_dims"],
        "decoder_attention_heads": decoder["num_heads"],
        "num_denoising": network["denoising"]["num_denoising"] if network["denoising"] else 0,
        "id2label": {str(label): name for label, name in enumerate(categories.names)},
        "label2id": {name: label for label, name in enumerate(categories.names)},
    }


def neck_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """A hybrid encoder's width and attention, as weights tell; heads they do not."""
    return dict(
        out_channels=len(state["neck.projections.0.conv.weight"]),
        num_heads=8,
        ffn_dims=len(state["neck.encoder_layers.0.ffn.linear1.bias"]),
        num_layers=count(state, "neck.encoder_layers."),
    )


def decoder_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """A decoder's sizes as weights tell; 8 heads."""
    num_levels = count(state, "projections.") or count(state, "neck.projections.")
    first = "decoder.layers.0"
    return dict(
        type="RTDETRDecoder",
        embed_dims=len(state["proposals.memory_norm.weight"]),
        num_heads=8,
        num_layers=count(state, "decoder.layers."),
        ffn_dims=len(state[f"{first}.ffn.linear1.bias"]),
        num_levels=num_levels,
        num_points=len(state[f"{first}.cross_attn.attention_weights.bias"]) // (8 * num_levels),
    )


def denoising_config(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The published denoising where weights have its embedding."""
    if "denoising_embed.weight" not in state:
        return None
    return dict(type="ContrastiveDenoising", num_denoising=100, padding_box=0.0)


def resnet_norm(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Batch norms that count batches are trained; frozen ones come with a frozen stem."""
    if "backbone.bn1.num_batches_tracked" in state:
        return dict(norm="batch", frozen_stages=-1)
    return dict(norm="frozen", frozen_stages=0)
