"""The pictures beside annotations: finding them, and their sizes without decoding them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

SUFFIXES = {
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
_ORIENTATION = 0x0112


def is_image(path: Path) -> bool:
    """Whether the name is a picture's."""
    return path.suffix.lower() in SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """All pictures under a folder, in order of their names."""
    return sorted(path for path in folder.rglob("*") if is_image(path))


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
