"""What a format's names need to know of heads that are stored under several names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from .architecture import Architecture


class StoredHeads(Protocol):
    """Aliases, LayerHeads, SharedHeads."""

    def keep_one_name(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their keys -> their keys with each tensor once."""

    def repeat(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """The way back."""
