"""Tables and remarks of rich as text, for logs, files and whoever prints them."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType


def text_of(*parts: RenderableType, width: int, **options: Any) -> str:
    """What a terminal of that width would show of some parts, one below the other, without colours.

    Args:
        width: in characters.
        options: of rich's `Console.print`.
    """
    file = io.StringIO()
    Console(file=file, width=width, emoji=False).print(*parts, sep="\n", **options)
    return file.getvalue()
