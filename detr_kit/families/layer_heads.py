"""Prediction heads that other projects store once a layer, also where all layers share them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .architecture import Architecture

ENCODER = "encoder"
"""The place of the encoder's heads in tables, where a project numbers them after the last layer's."""


@dataclass(frozen=True)
class LayerHeads:
    """Class and box heads `NAME.LAYER.…`, and aliases of those.

    Attributes:
        names: of the heads.
        alias_prefix: under which the decoder holds them again, "" where it does not.
        encoder_is_last: the encoder's heads follow those of the layers; tables call them `NAME.encoder.…`.
    """

    names: tuple[str, ...]
    alias_prefix: str = ""
    encoder_is_last: bool = False

    def keep_one_name(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Drop aliases, and heads 1, 2, … where they equal the first bit for bit."""
        result: dict[str, Tensor] = {}
        prefix = self.alias_prefix
        aliases = tuple(f"{prefix}{name}." for name in self.names) if prefix else ()
        for key, tensor in sorted(state.items(), key=lambda item: item[0].startswith(aliases)):
            result.setdefault(key.removeprefix(prefix) if key.startswith(aliases) else key, tensor)
        if self.encoder_is_last:
            last = max((int(self._match(key).group(2)) for key in result if self._match(key)), default=0)  # type: ignore[union-attr]
            result = {self._renumbered(key, str(last), ENCODER): tensor for key, tensor in result.items()}
        if all(self._equals_first(key, result) for key in result):
            result = {
                key: t for key, t in result.items() if not ((m := self._match(key)) and int(m.group(2)))
            }
        return result

    def repeat(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """Give every decoder layer its name for a head that all share, and the decoder its aliases."""
        num_layers = architecture.network["transformer"]["num_decoder_layers"]
        result: dict[str, Tensor] = {}
        for key, tensor in state.items():
            match = self._match(key)
            shared = (
                match is not None and key.replace(f"{match.group(1)}.0.", f"{match.group(1)}.1.") not in state
            )
            for layer in range(num_layers if shared else 1):
                result[self._renumbered(key, "0", str(layer)) if shared else key] = tensor
        if self.encoder_is_last:
            result = {self._renumbered(key, ENCODER, str(num_layers)): t for key, t in result.items()}
        if self.alias_prefix:
            result |= {f"{self.alias_prefix}{key}": t for key, t in result.items() if self._match(key)}
        return result

    def _match(self, key: str, layer: str = r"\d+") -> re.Match[str] | None:
        return re.fullmatch(rf"({'|'.join(map(re.escape, self.names))})\.({layer})\.(.+)", key)

    def _renumbered(self, key: str, old: str, new: str) -> str:
        match = self._match(key, old)
        return f"{match.group(1)}.{new}.{match.group(3)}" if match else key

    def _equals_first(self, key: str, state: Mapping[str, Tensor]) -> bool:
        match = self._match(key)
        first = state.get(f"{match.group(1)}.0.{match.group(3)}") if match else None
        return first is None or first is state[key] or torch.equal(first, state[key])
