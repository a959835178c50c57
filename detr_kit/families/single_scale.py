"""What weights tell of a network with one map and a transformer of global attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from .resnet import count, resnet_config, resnet_depth


class SingleScaleParts(NamedTuple):
    """The parts of a network's config.

    Attributes:
        depth: of the ResNet, None where the backbone is no complete one.
        backbone, neck, transformer: configs; the transformer's has no type.
        foreign_part: see Architecture.
    """

    depth: int | None
    backbone: dict[str, Any]
    neck: dict[str, Any]
    transformer: dict[str, Any]
    foreign_part: str | None

    @property
    def embed_dims(self) -> int:
        """Width of the model."""
        return int(self.transformer["embed_dims"])

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> SingleScaleParts:
        """Read from a state dict with our keys.

        Raises:
            KeyError: tensors are missing.
        """
        embed_dims = state["class_head.weight"].shape[1]
        ffn_dims = len(state.get("transformer.decoder_layers.0.ffn.linear1.bias", ()))
        depth = resnet_depth(state)
        backbone, channels = resnet_config(depth or 50, (32,))
        foreign = None if depth else "backbone"
        if foreign is None and "neck.levels.0.conv.weight" not in state:
            foreign = "neck"
        elif foreign is None and not ffn_dims:
            foreign = "transformer"
        neck = dict(type="ChannelMapper", in_channels=channels, out_channels=embed_dims, norm_groups=None)
        transformer = dict(
            embed_dims=embed_dims,
            num_heads=8,  # which weights do not tell
            num_encoder_layers=count(state, "transformer.encoder_layers."),
            num_decoder_layers=count(state, "transformer.decoder_layers."),
            ffn_dims=ffn_dims,
        )
        return cls(depth, backbone, neck, transformer, foreign)
