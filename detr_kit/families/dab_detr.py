"""DAB-DETR (Liu et al. 2022) and DN-DETR (Li et al. 2022) as the rest of the house sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..categories import Categories
from ..models.dab_detr import DabDETR as Network
from .aliases import Aliases
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
reference_embed.weight                              refpoint_embed.weight
pattern_embed.weight                                transformer.patterns.weight
label_queries.label_embed.weight                    label_enc.weight
transformer.encoder_layers.{i}.ffn.activation.{p}   transformer.encoder.layers.{i}.activation.{p}
transformer.decoder_layers.{i}.ffn.activation.{p}   transformer.decoder.layers.{i}.activation.{p}
transformer.position_scale.layers.{i}.{p}           transformer.encoder.query_scale.layers.{i}.{p}
transformer.query_position.layers.{i}.{p}           transformer.decoder.ref_point_head.layers.{i}.{p}
transformer.size_head.layers.{i}.{p}                transformer.decoder.ref_anchor_head.layers.{i}.{p}
"""
    + official.COMMON
)

MMDET = rules(
    mmdet.CONDITIONAL
    + """
reference_embed.weight                              query_embedding.weight
pattern_embed.weight                                patterns.weight
transformer.encoder_layers.{i}.ffn.activation.{p}   encoder.layers.{i}.ffn.layers.0.1.{p}
transformer.decoder_layers.{i}.ffn.activation.{p}   decoder.layers.{i}.ffn.layers.0.1.{p}
transformer.position_scale.layers.{i}.{p}           encoder.query_scale.layers.{i}.{p}
transformer.query_position.layers.{i}.{p}           decoder.ref_point_head.layers.{i}.{p}
transformer.size_head.layers.{i}.{p}                decoder.ref_anchor_head.layers.{i}.{p}
box_head.layers.{i}.{p}                             bbox_head.fc_reg.layers.{i}.{p}
"""
    + mmdet.COMMON
)

# The decoder's FFN: COMMON reads it, whose names `HuggingFaceNames` has brought it to.
HUGGINGFACE = rules(
    """
backbone.{rest}                         model.backbone.conv_encoder.model._backbone.{rest}
neck.levels.0.conv.{p}                  model.input_projection.{p}
reference_embed.weight                  model.query_refpoint_embeddings.weight
pattern_embed.weight                    model.patterns.weight
transformer.encoder_layers.{i}.ffn.activation.{p}   model.encoder.layers.{i}.activation_fn.{p}
transformer.position_scale.layers.{i}.{p}           model.encoder.query_scale.layers.{i}.{p}
ours.self_attn.query_content.{p}        theirs.self_attn.self_attn_query_content_proj.{p}
ours.self_attn.query_position.{p}       theirs.self_attn.self_attn_query_pos_proj.{p}
ours.self_attn.key_content.{p}          theirs.self_attn.self_attn_key_content_proj.{p}
ours.self_attn.key_position.{p}         theirs.self_attn.self_attn_key_pos_proj.{p}
ours.self_attn.value.{p}                theirs.self_attn.self_attn_value_proj.{p}
ours.self_attn.out_proj.{p}             theirs.self_attn.self_attn.output_proj.{p}
ours.norm_self_attn.{p}                 theirs.self_attn.self_attn_layer_norm.{p}
ours.cross_attn.query_content.{p}       theirs.cross_attn.cross_attn_query_content_proj.{p}
ours.cross_attn.query_position.{p}      theirs.cross_attn.cross_attn_query_pos_proj.{p}
ours.cross_attn.query_sine.{p}          theirs.cross_attn.cross_attn_query_pos_sine_proj.{p}
ours.cross_attn.key_content.{p}         theirs.cross_attn.cross_attn_key_content_proj.{p}
ours.cross_attn.key_position.{p}        theirs.cross_attn.cross_attn_key_pos_proj.{p}
ours.cross_attn.value.{p}               theirs.cross_attn.cross_attn_value_proj.{p}
ours.cross_attn.out_proj.{p}            theirs.cross_attn.cross_attn.output_proj.{p}
ours.norm_cross_attn.{p}                theirs.cross_attn.cross_attn_layer_norm.{p}
ours.ffn.activation.{p}                 theirs.mlp.activation_fn.{p}
ours.ffn.linear1.{p}                    theirs.mlp.fc1.{p}
ours.ffn.linear2.{p}                    theirs.mlp.fc2.{p}
ours.norm_ffn.{p}                       theirs.mlp.final_layer_norm.{p}
transformer.decoder_norm.{p}            model.decoder.layernorm.{p}
transformer.query_scale.layers.{i}.{p}      model.decoder.query_scale.layers.{i}.{p}
transformer.query_position.layers.{i}.{p}   model.decoder.ref_point_head.layers.{i}.{p}
transformer.size_head.layers.{i}.{p}        model.decoder.ref_anchor_head.layers.{i}.{p}
class_head.{p}                          class_embed.{p}
box_head.layers.{i}.{p}                 bbox_predictor.layers.{i}.{p}
""".replace("ours.", "transformer.decoder_layers.{i}.").replace("theirs.", "model.decoder.layers.{i}.")
    + huggingface.COMMON
)


@register
class DabDETR(Family):
    """See Family; a network with an embedding of classes is DN-DETR."""

    name = "dab_detr"
    network = Network
    config = "dab_detr_r50"
    key_names = (
        OwnNames(("class_head.", "reference_embed.", "transformer.size_head.")),
        OfficialNames(
            OFFICIAL,
            ("class_embed.", "refpoint_embed.", "transformer.decoder.ref_anchor_head."),
            Aliases({"bbox_embed.": "transformer.decoder.bbox_embed."}),
        ),
        MmdetNames(MMDET, ("bbox_head.fc_cls.", "decoder.ref_point_head.", "decoder.ref_anchor_head.")),
        HuggingFaceNames(
            HUGGINGFACE,
            ("model.encoder.layers.", "class_embed.", "model.decoder.ref_anchor_head."),
            Aliases({"bbox_predictor.": "model.decoder.bbox_embed."}),
        ),
    )

    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """See Family."""
        parts = SingleScaleParts.of(state)
        num_classes, num_queries = len(state["class_head.weight"]), len(state["reference_embed.weight"])
        denoises = "label_queries.label_embed.weight" in state
        num_patterns = len(state.get("pattern_embed.weight", ()))
        network = dict(
            type="DabDETR",
            num_classes=num_classes,
            num_queries=num_queries,
            num_patterns=num_patterns,
            denoising=dict(type="Denoising", num_groups=5) if denoises else None,
            backbone=parts.backbone,
            neck=parts.neck,
            position_encoding=dict(
                type="SinePositionEncoding", num_feats=parts.embed_dims // 2, temperature=20
            ),
            transformer=dict(type="DabTransformer", **parts.transformer),
        )
        name = "dn_detr" if denoises else self.name
        name += f"_r{parts.depth}" if parts.depth else ""
        name += f"_{num_patterns}patterns" if num_patterns else ""
        return Architecture(self, name, num_classes, num_queries, network, parts.foreign_part)

    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """See Family; after the classes there is "unknown"."""
        rows = {key: ClassRows() for key in state if key.startswith("class_head.")}
        return rows | {key: ClassRows(extra=1) for key in state if key == "label_queries.label_embed.weight"}

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any] | None:
        """See Family."""
        network = architecture.network
        if network["denoising"] is not None:
            return None
        common = huggingface.common_config(architecture, categories, dilation)
        return {
            **common,
            "model_type": "dab-detr",
            "architectures": ["DabDetrForObjectDetection"],
            "hidden_size": common["d_model"],
            "num_patterns": network["num_patterns"],
            "activation_function": "prelu",
            "temperature_height": 20,
            "temperature_width": 20,
        }

    def transformers_processor(self) -> dict[str, Any]:
        """See Family."""
        return {"image_processor_type": "ConditionalDetrImageProcessor", **super().transformers_processor()}
