"""The names that one project gives to the tensors of a family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from .architecture import Architecture
from .rules import Rule, rename_to_ours, rename_to_theirs


class KeyNames:
    """A family's keys in one format; as it is, a plain renaming by a table.

    Args:
        table: see `rules`.
        marks: beginnings of keys, each of which begins some key of every checkpoint. Of the families whose
            marks are all there the one with the most is meant, so that a family which has all that another
            has, and more, needs to be known by itself alone.

    Attributes:
        format: "official", "mmdet", …; the formats' own classes are in `families/formats/`.
        differences: what networks are given otherwise over there, in parts of the network's config, where
            weights do not tell and results would differ: position encodings and the like.
        variant: what configs of such networks are called besides.
        beginnings: how some key of every checkpoint begins, and no key of what is no detector: by these a
            network is found among all that a file holds.
    """

    format = ""
    beginnings: tuple[str, ...] = ()
    differences: Mapping[str, Mapping[str, Any]] = {}
    variant: str = ""

    def __init__(self, table: Sequence[Rule], marks: tuple[str, ...]) -> None:
        self.table, self.marks = table, marks

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The marks that no key begins with."""
        keys = list(keys)
        return [mark for mark in self.marks if not any(key.startswith(mark) for key in keys)]

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our keys for theirs; what has no counterpart keeps its name."""
        return rename_to_ours(state, self.table)

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """Their keys for ours.

        Raises:
            InputError: a tensor that they have no name for.
        """
        return rename_to_theirs(state, self.table, self.format)

    def notes(self, theirs: Mapping[str, Tensor]) -> list[str]:
        """What has to be set over there for converted weights to give the same numbers."""
        return []


class OwnNames(KeyNames):
    """detr-kit's own keys."""

    format = "detr_kit"

    def __init__(self, marks: tuple[str, ...]) -> None:
        super().__init__((), marks)
        self.beginnings = marks[:1]

    def from_ours(self, state: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
        """As they are."""
        return dict(state)
