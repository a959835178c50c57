"""All that the rest of the house needs to know of a family of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ..categories import Categories
from .architecture import Architecture, ClassRows
from .key_names import KeyNames


class Family(ABC):
    """What tells a family's networks and weights from others; one instance a family, see `register`.

    Attributes:
        name: as its configs are called: "detr" of "detr_r50".
        network: the class of its networks.
        config: a shipped config, whose transforms and post-processing are right for every network of it.
        key_names: the names of its tensors in each format; detr-kit's own first.
    """

    name: ClassVar[str]
    network: ClassVar[type[nn.Module]]
    config: ClassVar[str]
    key_names: ClassVar[tuple[KeyNames, ...]]

    def names_in(self, format: str) -> KeyNames | None:
        """The names of a format; None where the family is not known there."""
        return next((names for names in self.key_names if names.format == format), None)

    @abstractmethod
    def architecture_of(self, state: Mapping[str, Tensor]) -> Architecture:
        """What a state dict with our keys is of.

        Raises:
            KeyError, IndexError, ValueError, ZeroDivisionError, TypeError, RuntimeError: tensors are missing,
                or have other shapes.
        """

    @abstractmethod
    def class_rows(self, state: Mapping[str, Tensor]) -> dict[str, ClassRows]:
        """The tensors of a state dict with our keys that have a row a class, and what else is in them."""

    def set_num_heads(self, network: dict[str, Any], num_heads: int) -> None:
        """Correct the attention heads of a network's config, in place."""
        network["transformer"]["num_heads"] = num_heads

    def explained_modules(self, network: nn.Module) -> tuple[list[nn.Module], nn.Module]:
        """Where an explanation looks: each decoder layer's cross-attention, and the position encoding.

        The position encoding is called with the padding masks (B, h, w) of the maps that are attended to.
        """
        layers: Any = network.transformer.decoder_layers  # type: ignore[union-attr]
        return [layer.cross_attn for layer in layers], network.position_encoding  # type: ignore[return-value]

    def transformers_config(
        self, architecture: Architecture, categories: Categories, dilation: bool
    ) -> dict[str, Any] | None:
        """The config.json with which transformers builds the same network; None where it has no such one."""
        return None

    def transformers_processor(self) -> dict[str, Any]:
        """What transformers' preprocessor_config.json says of images: the papers' test transforms."""
        return {
            "size": {"shortest_edge": 800, "longest_edge": 1333},
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_pad": True,
            "format": "coco_detection",
        }
