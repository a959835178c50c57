"""Two-way renaming of state-dict keys by tables of templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import InputError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# What each placeholder stands for; a name not listed is one dotted part.
_PATTERNS = {"i": r"\d+", "j": r"\d+", "p": r"weight|bias", "rest": r".+", "linear": r"linear[12]"}


@dataclass(frozen=True)
class Rule:
    """One key of ours and the key of a peer that holds the same tensor, as templates with {placeholders}."""

    ours: str
    theirs: str

    def to_ours(self, key: str) -> str | None:
        """Our key for a peer's, None where the rule does not fit."""
        return _rewrite(self.theirs, self.ours, key)

    def to_theirs(self, key: str) -> str | None:
        """The peer's key for ours, None where the rule does not fit."""
        return _rewrite(self.ours, self.theirs, key)


def rules(table: str) -> list[Rule]:
    """Read a table: a line a rule, our template and theirs apart by white space; # begins a comment."""
    lines = (line.split("#")[0].split() for line in table.splitlines())
    return [Rule(ours, theirs) for ours, theirs in filter(None, lines)]


def rename_to_ours(state: Mapping[str, Tensor], table: Sequence[Rule]) -> dict[str, Tensor]:
    """Rename a peer's keys; one without a rule keeps its name, and the loader reports it."""
    return {_first(rule.to_ours(key) for rule in table) or key: tensor for key, tensor in state.items()}


def rename_to_theirs(state: Mapping[str, Tensor], table: Sequence[Rule], name: str) -> dict[str, Tensor]:
    """Rename our keys.

    Raises:
        InputError: a tensor that the peer's format has no name for.
    """
    result = {}
    for key, tensor in state.items():
        renamed = _first(rule.to_theirs(key) for rule in table)
        if renamed is None:
            raise InputError(f"the tensor {key!r} has no name in the {name} format")
        result[renamed] = tensor
    return result


def _first(candidates: Iterable[str | None]) -> str | None:
    return next((key for key in candidates if key is not None), None)


def _rewrite(source: str, destination: str, key: str) -> str | None:
    match = _compiled(source).fullmatch(key)
    return destination.format(**match.groupdict()) if match else None


_CACHE: dict[str, re.Pattern[str]] = {}


def _compiled(template: str) -> re.Pattern[str]:
    if template not in _CACHE:
        pattern, end = "", 0
        for match in _PLACEHOLDER.finditer(template):
            name = match.group(1)
            pattern += re.escape(template[end : match.start()])
            pattern += f"(?P<{name}>{_PATTERNS.get(name, '[^.]+')})"
            end = match.end()
        _CACHE[template] = re.compile(pattern + re.escape(template[end:]))
    return _CACHE[template]
