"""Decoded images kept in memory, for sets that are read many times from a slow disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import InputError
from .image_io import read_image


class ImageCache:
    """The first images of a list, as many as fit, read at once.

    It is filled before workers are forked, so all of them share one copy.

    Args:
        paths: image files.
        limit_gb: gigabytes (10⁹ bytes) of decoded pixels to keep.
    """

    def __init__(self, paths: Sequence[Path], limit_gb: float) -> None:
        self.pixels: dict[str, np.ndarray] = {}
        self.num_bytes, limit = 0, limit_gb * 1e9
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(paths), _AT_ONCE):
                chunk = paths[start : start + _AT_ONCE]
                for path, image in zip(chunk, pool.map(_read_or_none, chunk), strict=True):
                    if image is None:
                        continue
                    if self.num_bytes + image.nbytes > limit:
                        return
                    self.pixels[str(path)] = image
                    self.num_bytes += image.nbytes

    def read(self, path: Path) -> np.ndarray:
        """(H, W, 3) uint8 RGB as stored, a copy of the cache's or from the file."""
        kept = self.pixels.get(str(path))
        return read_image(path) if kept is None else kept.copy()


_AT_ONCE = 64


def _read_or_none(path: Path) -> np.ndarray | None:
    """What cannot be read is reported when it is its turn."""
    try:
        return read_image(path)
    except InputError:
        return None
