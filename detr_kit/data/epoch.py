"""Which epoch an image is drawn for: strong augmentation ends before training does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_EPOCH: ContextVar[int] = ContextVar("epoch", default=0)


def current_epoch() -> int:
    """Of the image that is being drawn, counted from 0; 0 where nobody counts."""
    return _EPOCH.get()


@contextmanager
def at_epoch(epoch: int) -> Iterator[None]:
    """Images drawn in here are of that epoch."""
    token = _EPOCH.set(epoch)
    try:
        yield
    finally:
        _EPOCH.reset(token)
