"""Which files a source names: a folder, a pattern, or itself."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..data.formats.image_files import IMAGE_SUFFIXES
from ..errors import InputError

VIDEO_SUFFIXES = (
    ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip


def is_image_name(name: str | Path) -> bool:
    """Whether a file's ending is one of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_video(source: Any) -> bool:
    """Whether a source is a camera's number, a stream's address, or a file with the ending of a video."""
    if isinstance(source, int):
        return True
    if not isinstance(source, str | Path):
        return False
    address = str(source)
    return address.startswith(("rtsp://", "rtmp://")) or Path(address).suffix.lower() in VIDEO_SUFFIXES


def is_single(source: Any) -> bool:
    """Whether a source is one image rather than several; a folder and a pattern are several."""
    if isinstance(source, str | Path):
        return not (Path(source).is_dir() or _is_pattern(source))
    return isinstance(source, bytes | bytearray | memoryview | Image.Image | np.ndarray | Tensor | int)


def expand(source: Any) -> Iterator[Any]:
    """Folders and patterns become the image and video files that they name, sorted; the rest stays.

    Args:
        source: any source, or an iterable of sources, which is followed lazily. A folder stands for the files
            directly in it; a pattern may use `**` for folders below.

    Raises:
        InputError: a folder without images, or a pattern without a match.
    """
    if is_single(source):
        yield source
    elif isinstance(source, str | Path):
        yield from _files_of(source)
    elif isinstance(source, Iterable):
        for part in source:
            yield from expand(part)
    else:
        raise InputError(f"source: a {type(source).__name__} is no image and no list of images")


def _files_of(source: str | Path) -> list[Path]:
    if Path(source).is_dir():
        found = [path for path in Path(source).iterdir() if not path.name.startswith(".")]
    else:
        found = [Path(path) for path in glob.glob(str(source), recursive=True)]
    files = sorted(path for path in found if path.is_file() and (is_image_name(path) or is_video(path)))
    if not files:
        raise InputError(f"{source}: no image there; files must end in one of {', '.join(IMAGE_SUFFIXES)}")
    return files


def _is_pattern(source: str | Path) -> bool:
    """A path with `*`, `?` or `[` that is no file's own name; a URL's `?` asks for nothing here."""
    return "://" not in str(source) and glob.has_magic(str(source)) and not Path(source).exists()
