"""What is published, for `detr-kit models`: as a table, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from .hub import is_model_here
from .places import file_of
from .table import Published, all_published


def is_here(row: Published) -> bool:
    """Whether weights need not be fetched any more."""
    return (
        file_of(row.url).is_file() if row.url is not None else is_model_here(str(row.hub), str(row.revision))
    )


def models_table() -> Table:
    """Every row, by family: size and AP, whose and under which licence it is, and whether it is here."""
    caption = "~: four bytes a parameter. builtin, which finds coloured shapes, is inside the package."
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("--checkpoint", overflow="fold")
    for title in ("parameters", "AP", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for family, rows in _by_family():
        table.add_row(f"\n[bold]{family}[/bold]")
        for row in rows:
            here = f"needs {row.needs}" if row.needs is not None else "yes" if is_here(row) else "no"
            name = f"{row.name}\n  [dim][link={row.source}]{_publisher(row)}[/link], {row.licence}[/dim]"
            table.add_row(name, f"{row.parameters / 1e6:.1f} M", f"{row.ap:.1f}", _size(row), here)
    return table


def models_json() -> str:
    """The same with every field of the table, and `here`."""
    rows: list[dict[str, Any]] = [asdict(row) | {"here": is_here(row)} for row in all_published()]
    return json.dumps(rows, indent=1)


def _size(row: Published) -> str:
    if row.bytes is not None:
        return f"{row.bytes / 2**20:.0f} MiB"
    return row.size or f"~{4 * row.parameters / 2**20:.0f} MiB"


def _by_family() -> Iterable[tuple[str, list[Published]]]:
    families: dict[str, list[Published]] = {}
    for row in all_published():
        families.setdefault(row.family, []).append(row)
    return families.items()


def _publisher(row: Published) -> str:
    """OWNER/NAME on the hub or on GitHub."""
    return row.hub or "/".join(urlsplit(row.source).path.split("/")[1:3])
