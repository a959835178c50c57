"""Tensors that other projects store a second time under another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .architecture import Architecture


@dataclass(frozen=True)
class Aliases:
    """Beginnings of names.

    Attributes:
        of: beginning of a name -> beginning of its alias.
    """

    of: Mapping[str, str]

    def keep_one_name(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Drop aliases; one whose name is not there gives it."""
        aliased = tuple(self.of.values())
        result = {key: tensor for key, tensor in state.items() if not key.startswith(aliased)}
        for name, alias in self.of.items():
            for key, tensor in state.items():
                if key.startswith(alias):
                    result.setdefault(name + key.removeprefix(alias), tensor)
        return result

    def repeat(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """Add the aliases, which share their memory."""
        result = dict(state)
        for name, alias in self.of.items():
            again = {key: tensor for key, tensor in state.items() if key.startswith(name)}
            result |= {alias + key.removeprefix(name): tensor for key, tensor in again.items()}
        return result
