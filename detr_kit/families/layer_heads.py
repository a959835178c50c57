"""Prediction heads that other projects store once a layer, also where all layers share them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .aliases import Aliases
from .architecture import Architecture

ENCODER = "encoder"
"""The place of the encoder's heads in tables, where a project numbers them after the last layer's."""


@dataclass(frozen=True)
class LayerHeads:
    """Heads `NAME.LAYER.…`, and aliases of those.

    Attributes:
        names: of the heads.
        alias_prefix: under which the decoder holds them again, "" where it does not; of all of them, or of
            those in `aliased`.
        aliased: see alias_prefix.
        shared: layers may share their heads: they do where all are equal, bit for bit.
        encoder_is_last: the encoder's heads follow those of the layers; tables call them `NAME.encoder.…`.
    """

    names: tuple[str, ...]
    alias_prefix: str = ""
    aliased: tuple[str, ...] = ()
    shared: bool = True
    encoder_is_last: bool = False

    @property
    def _aliases(self) -> Aliases:
        names = (self.aliased or self.names) if self.alias_prefix else ()
        return Aliases({f"{name}.": f"{self.alias_prefix}{name}." for name in names})

    def keep_one_name(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Drop aliases, and heads 1, 2, … where all share the first."""
        result = self._aliases.keep_one_name(state)
        if self.encoder_is_last:
            last = max((self._layer_of(key) for key in result), default=0)
            result = {self._renumbered(key, str(last), ENCODER): tensor for key, tensor in result.items()}
        if self.shared and all(self._equals_first(key, result) for key in result):
            result = {key: tensor for key, tensor in result.items() if self._layer_of(key) < 1}
        return result

    def repeat(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """Give every decoder layer its name for a head that all share, and the decoder its aliases."""
        num_layers = architecture.network["transformer"]["num_decoder_layers"]
        shared = self.shared and all(self._layer_of(key) < 1 for key in state)
        result: dict[str, Tensor] = {}
        for key, tensor in state.items():
            again = shared and self._layer_of(key) == 0
            for layer in range(num_layers if again else 1):
                result[self._renumbered(key, "0", str(layer)) if again else key] = tensor
        if self.encoder_is_last:
            result = {self._renumbered(key, ENCODER, str(num_layers)): t for key, t in result.items()}
        return self._aliases.repeat(result, architecture)

    def _match(self, key: str, layer: str = r"\d+") -> re.Match[str] | None:
        return re.fullmatch(rf"({'|'.join(map(re.escape, self.names))})\.({layer})\.(.+)", key)

    def _layer_of(self, key: str) -> int:
        """-1 for what is no layer's head."""
        match = self._match(key)
        return int(match.group(2)) if match else -1

    def _renumbered(self, key: str, old: str, new: str) -> str:
        match = self._match(key, old)
        return f"{match.group(1)}.{new}.{match.group(3)}" if match else key

    def _equals_first(self, key: str, state: Mapping[str, Tensor]) -> bool:
        match = self._match(key)
        first = state.get(f"{match.group(1)}.0.{match.group(3)}") if match else None
        return first is None or first is state[key] or torch.equal(first, state[key])
