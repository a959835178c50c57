"""What weights tell of a network with a neck and a deformable transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from .resnet import count, resnet_config, resnet_depth
from .swin import swin_config


class MultiScaleParts(NamedTuple):
    """The parts of a network's config.

    Attributes:
        backbone_name: as config names have it, "r50" or "swin_l"; "" where the backbone is no complete one.
        backbone, neck, transformer: configs.
        foreign_part: see Architecture.
    """

    backbone_name: str
    backbone: dict[str, Any]
    neck: dict[str, Any]
    transformer: dict[str, Any]
    foreign_part: str | None

    @property
    def embed_dims(self) -> int:
        """Width of the model."""
        return int(self.transformer["embed_dims"])

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> MultiScaleParts:
        """Read from a state dict with our keys.

        Raises:
            KeyError, ZeroDivisionError: tensors are missing.
        """
        num_levels, embed_dims = state["transformer.level_embed"].shape
        levels = [state.get(f"neck.levels.{level}.conv.weight") for level in range(num_levels)]
        num_maps = sum(1 for weight in levels if weight is not None and weight.shape[-1] == 1)
        num_heads, num_points = _heads_and_points(state, num_levels)
        ffn_dims = len(state.get("transformer.decoder_layers.0.ffn.linear1.bias", ()))
        name, backbone, channels = _backbone(state, num_maps)
        foreign = "backbone" if not name else "neck" if not num_maps else None if ffn_dims else "transformer"
        neck = dict(
            type="ChannelMapper", in_channels=channels, out_channels=embed_dims, num_levels=num_levels
        )
        transformer = dict(
            type="DeformableTransformer",
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_encoder_layers=count(state, "transformer.encoder_layers."),
            num_decoder_layers=count(state, "transformer.decoder_layers."),
            ffn_dims=ffn_dims,
            num_levels=num_levels,
            num_points=num_points,
        )
        return cls(name, backbone, neck, transformer, foreign)


def _backbone(state: Mapping[str, Tensor], num_maps: int) -> tuple[str, dict[str, Any], list[int]]:
    """Name, config and channels; of a ResNet-50 without a name where it is none that is known."""
    depth = resnet_depth(state)
    found = swin_config(state, num_maps) if depth is None else None
    if found is not None:
        return found
    config, channels = resnet_config(depth or 50, (4, 8, 16, 32)[-num_maps:])
    return f"r{depth}" if depth else "", config, channels


def correct_num_heads(network: dict[str, Any], num_heads: int) -> None:
    """See Family.set_num_heads: the product of heads and points is what weights tell."""
    transformer = network["transformer"]
    transformer["num_points"] = transformer["num_heads"] * transformer["num_points"] // num_heads
    transformer["num_heads"] = num_heads


def _heads_and_points(state: Mapping[str, Tensor], num_levels: int) -> tuple[int, int]:
    """Of their product, which is all that shapes tell: 8 heads, or 4 points where that does not divide."""
    biases = state.get("transformer.decoder_layers.0.cross_attn.attention_weights.bias", ())
    product = len(biases) // num_levels
    return (8, product // 8) if product % 8 == 0 else (product // 4, 4)
