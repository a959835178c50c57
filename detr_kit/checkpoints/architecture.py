"""Which network a state dict of ours belongs to, read off its keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Architecture:
    """The facts about a network that its weights reveal.

    Attributes:
        kind: "detr" or "deformable_detr".
        num_classes: without "no object".
        num_queries: None for two-stage networks, whose weights do not say.
        num_levels: feature levels; num_maps: those of them that come from the backbone, 0 for a neck that is
            none of ours.
        refine, two_stage: the variants of Deformable DETR.
        num_encoder_layers, num_decoder_layers, embed_dims, ffn_dims: sizes of the transformer, those
            of one that is none of ours 0.
        num_heads: attention heads: DETR's weights do not say, 8 is assumed.
        num_points: sampling points a head and level; None for DETR.
        depth: of the ResNet, None where it is unknown.
    """

    kind: str
    num_classes: int
    num_queries: int | None
    num_levels: int
    num_maps: int
    refine: bool
    two_stage: bool
    num_encoder_layers: int
    num_decoder_layers: int
    embed_dims: int
    ffn_dims: int
    num_heads: int
    num_points: int | None
    depth: int | None

    @property
    def config_name(self) -> str:
        """The nearest shipped config. Dilation leaves no trace in weights: DC5 needs to be named.

        A backbone that is no complete ResNet is left out, which is the name of no config.
        """
        name = f"{self.kind}_r{self.depth}" if self.depth else self.kind
        if self.kind == "deformable_detr":
            name += "_two_stage" if self.two_stage else "_refine" if self.refine else ""
            name += "_single_scale" if self.num_levels == 1 else ""
        return name

    def network_config(
        self, *, num_heads: int | None = None, num_queries: int | None = None, dilation: bool = False
    ) -> dict[str, Any]:
        """A config of exactly this network, for `detr_kit.registry.build`.

        What weights do not tell may be given: attention heads, the queries of a two-stage network, and
        whether the backbone is DC5.

        Raises:
            InputError: backbone, neck or transformer are none of ours.
        """
        if self.depth is None or not self.num_maps or not self.ffn_dims:
            part = "backbone" if self.depth is None else "transformer" if self.num_maps else "neck"
            raise InputError(
                f"these weights are of a {part} that detr-kit has not got by default; name the model's config"
            )
        deformable = self.kind == "deformable_detr"
        heads = num_heads or self.num_heads
        strides = (8, 16, 32)[-self.num_maps :]
        width = 2048 if self.depth >= 50 else 512
        transformer: dict[str, Any] = dict(
            type="DeformableTransformer" if deformable else "DetrTransformer",
            embed_dims=self.embed_dims,
            num_heads=heads,
            num_encoder_layers=self.num_encoder_layers,
            num_decoder_layers=self.num_decoder_layers,
            ffn_dims=self.ffn_dims,
        )
        encoding: dict[str, Any] = dict(type="SinePositionEncoding", num_feats=self.embed_dims // 2)
        neck: dict[str, Any] = dict(
            type="ChannelMapper",
            in_channels=[width * stride // 32 for stride in strides],
            out_channels=self.embed_dims,
        )
        network: dict[str, Any] = dict(
            type="DeformableDETR" if deformable else "DETR",
            num_classes=self.num_classes,
            num_queries=self.num_queries or num_queries or 300,
            backbone=dict(type="ResNet", depth=self.depth, strides=strides, dilation=dilation),
            neck=neck,
            position_encoding=encoding,
            transformer=transformer,
        )
        if not deformable:
            neck["norm_groups"] = None
            return network
        encoding["offset"], neck["num_levels"] = -0.5, self.num_levels
        num_points = self.num_heads * (self.num_points or 0) // heads  # their product is what is known
        transformer |= dict(num_levels=self.num_levels, num_points=num_points)
        return network | dict(refine=self.refine, two_stage=self.two_stage)


def architecture_of(state: Mapping[str, Tensor]) -> Architecture:
    """The architecture behind a state dict with detr_kit's keys.

    Raises:
        KeyError: it is not one.
    """
    deformable = "transformer.level_embed" in state
    head = state["class_heads.0.weight" if deformable else "class_head.weight"]
    query_embed = state.get("query_embed.weight")
    num_levels = len(state["transformer.level_embed"]) if deformable else 1
    levels = [state.get(f"neck.levels.{level}.conv.weight") for level in range(num_levels)]
    kernel_sizes = [weight.shape[-1] for weight in levels if weight is not None]
    num_heads, num_points = _heads_and_points(state, num_levels) if deformable else (8, None)
    return Architecture(
        kind="deformable_detr" if deformable else "detr",
        num_classes=len(head) if deformable else len(head) - 1,
        num_queries=None if query_embed is None else len(query_embed),
        num_levels=num_levels,
        num_maps=kernel_sizes.count(1),
        refine=deformable and _count(state, "box_heads.") > 1,
        two_stage="proposals.memory_proj.weight" in state,
        num_encoder_layers=_count(state, "transformer.encoder_layers."),
        num_decoder_layers=_count(state, "transformer.decoder_layers."),
        embed_dims=head.shape[1],
        ffn_dims=len(state.get("transformer.decoder_layers.0.ffn.linear1.bias", ())),
        num_heads=num_heads,
        num_points=num_points,
        depth=_depth(state),
    )


def _heads_and_points(state: Mapping[str, Tensor], num_levels: int) -> tuple[int, int]:
    """Of their product, which is all that shapes tell: 8 heads, or 4 points where that does not divide."""
    biases = state.get("transformer.decoder_layers.0.cross_attn.attention_weights.bias", ())
    product = len(biases) // num_levels
    return (8, product // 8) if product % 8 == 0 else (product // 4, 4)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _depth(state: Mapping[str, Tensor]) -> int | None:
    blocks: tuple[int, ...] = tuple(_count(state, f"backbone.layer{stage}.") for stage in range(1, 5))
    bottleneck = "backbone.layer1.0.conv3.weight" in state
    depths: dict[tuple[tuple[int, ...], bool], int] = {
        ((2, 2, 2, 2), False): 18,
        ((3, 4, 6, 3), False): 34,
        ((3, 4, 6, 3), True): 50,
        ((3, 4, 23, 3), True): 101,
        ((3, 8, 36, 3), True): 152,
    }
    return depths.get((blocks, bottleneck))
