"""The table of published checkpoints (published.yaml), and finding a row in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Published:
    """A row of published.yaml, which says what each field means."""

    name: str
    config: str
    family: str
    parameters: int
    ap: float
    licence: str
    source: str
    url: str | None = None
    hub: str | None = None
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    size: str | None = None
    needs: str | None = None

    @property
    def place(self) -> str:
        """Where it is published: an address, or a model on the hub."""
        return self.url or str(self.hub)


@lru_cache(maxsize=1)
def all_published() -> tuple[Published, ...]:
    """Every row, in the table's order."""
    import yaml  # not for those who only ask for help

    return tuple(Published(**row) for row in yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def find_published(name: str) -> Published | None:
    """The row that has this name, address or id on the hub."""
    return next((row for row in all_published() if name in (row.name, row.url, row.hub)), None)


def published_of(config: str) -> Published | None:
    """The weights that a shipped config's name stands for: the first of its rows that can be run."""
    return next(_runnable(config), None)


def others_of(row: Published) -> list[Published]:
    """The same network's weights from elsewhere."""
    return [other for other in _runnable(row.config) if other is not row]


def _runnable(config: str) -> Iterator[Published]:
    return (row for row in all_published() if row.config == config and row.needs is None)
