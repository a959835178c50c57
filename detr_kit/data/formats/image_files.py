"""The pictures beside annotations: finding them, and their sizes without decoding them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

_PICTURES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe",
    ".jpeg", ".jpf", ".jpg", ".jpx", ".jxl", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm",
    ".ppm", ".qoi", ".ras", ".sgi", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
IMAGE_SUFFIXES = tuple(suffix for suffix in _PICTURES if suffix in Image.registered_extensions())
"""Endings of the pictures that this installation reads; everything that lists pictures asks here."""
_OTHER_PICTURES = (
    ".arw", ".cr2", ".cr3", ".dcm", ".dng", ".eps", ".exr", ".hdr", ".nef", ".pfm", ".psd", ".svg",
)  # fmt: skip
UNREAD_SUFFIXES = tuple(s for s in (*_PICTURES, *_OTHER_PICTURES) if s not in IMAGE_SUFFIXES)
"""Endings of pictures that it does not read, to tell people so."""
_ORIENTATION = 0x0112


def is_hidden(name: str) -> bool:
    """Whether it is a program's own and nobody's data: .ipynb_checkpoints, ._x.jpg, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(path: Path) -> bool:
    """Whether the name is a picture's."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.name)


def list_files(folder: Path) -> list[Path]:
    """All files under a folder, hidden ones left out, in order of their names; links are followed."""
    return sorted(_walk(folder))


def list_images(folder: Path) -> list[Path]:
    """All pictures under a folder, in order of their names."""
    return sorted(path for path in _walk(folder) if is_image(path))


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to where it was already
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (Path(place, name) for name in files if not is_hidden(name))


def shown_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as viewers and labelling programs show the picture, its EXIF turn applied.

    None where the file is no picture.
    """
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return (image.height, image.width) if turned else image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def shown_sizes(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    """`shown_size` of many files, some at a time: disks and networks answer slowly."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(shown_size, paths))
