"""Prediction heads that other projects store under several names for one tensor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .architecture import Architecture


@dataclass(frozen=True)
class SharedHeads:
    """Class and box heads of Deformable DETR and what grew from it: `NAME.LAYER.…`, and aliases of those.

    Without refinement all layers share one head, which is stored once a layer.

    Attributes:
        class_heads, box_heads: their names.
        alias_prefix: under which the decoder holds the same heads again, "" where it does not: the box heads
            with refinement, the class heads too with two stages.
    """

    class_heads: str
    box_heads: str
    alias_prefix: str = ""

    @property
    def _names(self) -> tuple[str, str]:
        return self.class_heads, self.box_heads

    def keep_one_name(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Drop aliases, and heads 1, 2, … where all layers share the first."""
        result: dict[str, Tensor] = {}
        prefix = self.alias_prefix
        aliased = tuple(f"{prefix}{head}." for head in self._names) if prefix else ()
        for key, tensor in state.items():
            if aliased and key.startswith(aliased):
                result.setdefault(key.removeprefix(prefix), tensor)
            elif not aliased or key.removeprefix(prefix) not in result:
                result[key] = tensor
        refine = any(key.startswith(f"{prefix}{self.box_heads}.") for key in state) if prefix else False
        if refine or not self._are_equal(result):
            return result
        later = re.compile(rf"({'|'.join(map(re.escape, self._names))})\.[1-9]\d*\.")
        return {key: tensor for key, tensor in result.items() if not later.match(key)}

    def _are_equal(self, state: Mapping[str, Tensor]) -> bool:
        """Whether every head equals the first of its kind, bit for bit."""
        for key, tensor in state.items():
            for head in self._names:
                match = re.fullmatch(rf"{re.escape(head)}\.\d+\.(.+)", key)
                first = state.get(f"{head}.0.{match.group(1)}") if match else None
                if first is not None and first is not tensor and not torch.equal(first, tensor):
                    return False
        return True

    def repeat(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """Give every decoder layer its name for a head that all share, and the decoder its aliases."""
        network = architecture.network
        result = dict(state)
        if not network["refine"]:
            result |= self._for_every_layer(state, network["transformer"]["num_decoder_layers"])
        if self.alias_prefix:
            used = ((self.class_heads, network["two_stage"]), (self.box_heads, network["refine"]))
            wanted = tuple(f"{head}." for head, is_used in used if is_used)
            again = {key: tensor for key, tensor in state.items() if wanted and key.startswith(wanted)}
            result |= {f"{self.alias_prefix}{key}": tensor for key, tensor in again.items()}
        return result

    def _for_every_layer(self, state: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
        result = {}
        for key, tensor in state.items():
            for head in self._names:
                match = re.fullmatch(rf"{re.escape(head)}\.0\.(.+)", key)
                if match:
                    for layer in range(1, num_layers):
                        result[f"{head}.{layer}.{match.group(1)}"] = tensor
        return result
