"""Which files a source names: a folder, a pattern, or itself."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import InputError
from .kind import IMAGE_SUFFIXES, is_image_name, is_video_name

_ACCEPTED = (
    "a path, an address, encoded bytes, an open file, a PIL image, an array or a tensor, or a list or "
    "iterator of those"
)


def is_single(source: Any) -> bool:
    """Whether a source is one image rather than several; a folder and a pattern are several."""
    if isinstance(source, str | os.PathLike):
        return not (Path(source).is_dir() or _is_pattern(source))
    single = bytes | bytearray | memoryview | Image.Image | np.ndarray | Tensor | int
    return isinstance(source, single) or hasattr(source, "read")


def expand(source: Any) -> Iterator[Any]:
    """Folders and patterns become the image and video files that they name, sorted; the rest stays.

    Args:
        source: any source, or an iterable of sources, which is followed lazily. A folder stands for the files
            directly in it; a pattern may use `**` for folders below.

    Raises:
        InputError: a folder without images, a pattern without a match, or something that is no source: also
            a dict and a set, whose order says nothing.
    """
    if isinstance(source, bool) or source is None:
        raise InputError(f"source: {source} is no image; give {_ACCEPTED}")
    if is_single(source):
        yield source
    elif isinstance(source, str | os.PathLike):
        yield from _files_of(source)
    elif isinstance(source, Mapping):
        raise InputError(
            f"source: a {type(source).__name__} is no list of images; give list(source.values())"
        )
    elif isinstance(source, Set):
        raise InputError(f"source: a {type(source).__name__} has no order; give a list of its images")
    elif isinstance(source, Iterable):
        for part in source:
            yield from expand(part)
    else:
        raise InputError(f"source: a {type(source).__name__} is no image; give {_ACCEPTED}")


def _files_of(source: str | os.PathLike[str]) -> list[Path]:
    if Path(source).is_dir():
        found = [path for path in Path(source).iterdir() if not path.name.startswith(".")]
    else:
        found = [Path(path) for path in glob.glob(str(source), recursive=True)]
    files = sorted(path for path in found if path.is_file() and (is_image_name(path) or is_video_name(path)))
    if not files:
        raise InputError(f"{source}: no image there; files must end in one of {', '.join(IMAGE_SUFFIXES)}")
    return files


def _is_pattern(source: str | os.PathLike[str]) -> bool:
    """A path with `*`, `?` or `[` that is no file's own name; a URL's `?` asks for nothing here."""
    return "://" not in str(source) and glob.has_magic(str(source)) and not Path(source).exists()
