"""Pictures of the same content: the same file twice, or once more encoded, resized or turned."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..file_names import match_names

_SIDE, _COARSE = 32, 8  # thumbnails in grey, and their block means
_MOST_COMPARED = 20_000  # beyond it only bytes are compared: each picture with each other takes minutes
_TOLERANCE = 0.06  # of a thumbnail's own contrast, so that blank pictures are not all the same
_TOLERANCE_LIMIT = 3.0  # grey levels of 255
_WORST_CELL = 4.0  # times the tolerance: where something small moved the mean hardly changes, its cell does
_ASPECT = 0.03
_BLANK = 3.0  # grey levels of contrast, below which a thumbnail tells nothing
_AT_ONCE = 512


@dataclass(frozen=True)
class LookAlikes:
    """Groups of pictures with the same content.

    Attributes:
        groups: of each picture, the index of the first picture that looks like it, its own for none.
        note: for people, how many there are and how they were looked for.
    """

    groups: list[int]
    note: str

    @property
    def has_groups(self) -> bool:
        """Whether any two look alike."""
        return len(set(self.groups)) < len(self.groups)


def look_alikes_of(data: Mapping[str, Any], folder: Path) -> LookAlikes:
    """`find_look_alikes` of a set in COCO form, whose file names are relative to a folder."""
    names = [str(image["file_name"]) for image in data["images"]]
    found = match_names(folder, names)
    return find_look_alikes([found.path(name) for name in names])


def find_look_alikes(paths: Sequence[Path]) -> LookAlikes:
    """Group pictures whose files are equal, or that show the same encoded, resized or turned otherwise.

    Two pictures look alike where their grey 32 × 32 thumbnails differ by less than 6 % of their own contrast
    on average (root mean square, at most 3 grey levels), by less than four times that in every cell, and
    their shapes by less than 3 %. Frames of a video in which something moved are different pictures; where
    frames hardly differ each is grouped with the next. Of more than 20,000 pictures only bytes are compared.
    A file that cannot be read looks like no other.
    """
    compare = len(paths) <= _MOST_COMPARED
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        seen = list(pool.map(lambda path: _look_at(path, compare), paths))
    first_with: dict[bytes, int] = {}
    groups = np.array(
        [first_with.setdefault(look.digest, i) if look.digest else i for i, look in enumerate(seen)],
        dtype=np.int64,
    )
    _join_alike(groups, seen)
    return LookAlikes(groups.tolist(), _note(groups.tolist(), compare))


@dataclass(frozen=True)
class _Look:
    """A file's digest, b"" for none; its thumbnail and width / height, None and 0 where it is no picture."""

    digest: bytes
    thumbnail: np.ndarray | None = None
    aspect: float = 0.0


def _look_at(path: Path, compare: bool) -> _Look:
    try:
        data = path.read_bytes()
    except OSError:
        return _Look(b"")
    digest = hashlib.blake2b(data, digest_size=16).digest()
    if not compare:
        return _Look(digest)
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (8 * _SIDE, 8 * _SIDE))  # a JPEG is decoded no larger than is needed
            upright = ImageOps.exif_transpose(image)
            aspect = upright.width / upright.height
            grey = upright.convert("F" if upright.mode.startswith(("I", "F")) else "L")
            small = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return _Look(digest)
    if not np.isfinite(small).all():
        return _Look(digest)
    if small.max() > 255:  # 16-bit
        small = small * (255 / small.max())
    return _Look(digest, small.reshape(-1), aspect)


def _join_alike(groups: np.ndarray, seen: Sequence[_Look]) -> None:
    """Join the groups of pictures that look alike.

    Means of blocks differ by no more than what they are made of, in the root mean square: so few pairs are
    left to compare as a whole, and none is missed.
    """
    usable = [
        i for i, look in enumerate(seen) if look.thumbnail is not None and look.thumbnail.std() > _BLANK
    ]
    if not usable:
        return
    index = np.array(usable)
    pixels = np.stack([seen[i].thumbnail for i in usable])  # type: ignore[misc]
    aspects = np.array([seen[i].aspect for i in usable])
    tolerance = np.minimum(_TOLERANCE * pixels.std(axis=1), _TOLERANCE_LIMIT)
    block = _SIDE // _COARSE
    coarse = pixels.reshape(-1, _COARSE, block, _COARSE, block).mean(axis=(2, 4), dtype=np.float64)
    coarse = coarse.reshape(len(pixels), -1)
    squares = (coarse**2).mean(axis=1)
    for start in range(0, len(pixels), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(pixels)))
        distance = squares[rows, None] + squares - 2 / coarse.shape[1] * (coarse[rows] @ coarse.T)
        near = distance <= tolerance[rows, None] ** 2 + 1e-6
        near &= np.abs(aspects[rows, None] / aspects - 1) < _ASPECT
        for first in rows:
            others = np.flatnonzero(near[first - start])
            others = others[(others > first) & (groups[index[others]] != groups[index[first]])]
            difference = np.abs(pixels[others] - pixels[first])
            allowed = np.minimum(tolerance[others], tolerance[first])
            same = ((difference**2).mean(axis=1) < allowed**2) & (
                difference.max(axis=1) < _WORST_CELL * allowed
            )
            for other in index[others[same]]:
                pair = sorted((groups[index[first]], groups[other]))
                groups[groups == pair[1]] = pair[0]


def _note(groups: Sequence[int], compare: bool) -> str:
    sizes = [size for size in Counter(groups).values() if size > 1]
    how = "" if compare else f" (more than {_MOST_COMPARED:,} pictures: only equal files were looked for)"
    if not sizes:
        return f"no two pictures look alike{how}"
    note = f"{sum(sizes)} pictures look like others, in {len(sizes)} group{'s' * (len(sizes) > 1)}{how}"
    if 2 * max(sizes) > len(groups):
        note += f"; the largest has {max(sizes)} of {len(groups)} pictures, as frames of a video would"
    return note
