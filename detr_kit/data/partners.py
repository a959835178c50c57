"""Where a transform that joins several pictures gets the other ones from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..errors import InputError

_DRAW: ContextVar[Callable[[], dict[str, Any]] | None] = ContextVar("draw_partner", default=None)


def draw_partner() -> dict[str, Any]:
    """Another picture of the data set whose picture is being transformed, as it was read; all are as likely.

    It is drawn by torch's global generator, which a `Draw` seeds: the same ones with any number of workers.

    Returns:
        image, boxes and labels as transforms take them.

    Raises:
        InputError: no data set is reading.
    """
    draw = _DRAW.get()
    if draw is None:
        raise InputError(
            "a transform that joins several pictures has no data set to draw from; give it to "
            "CocoDataset(transforms=…), or call it within detr_kit.data.partners.partners_from"
        )
    return draw()


@contextmanager
def partners_from(draw: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Transforms in here get their partners from `draw`."""
    token = _DRAW.set(draw)
    try:
        yield
    finally:
        _DRAW.reset(token)
