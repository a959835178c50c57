"""Faults of pictures, found by reading each once, several at a time."""

from __future__ import annotations

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..data.annotation_table import AnnotationTable
from ..data.deep_pixels import PixelRange
from ..data.file_names import match_names
from ..data.image_io import decode_deep_image
from ..errors import InputError
from .finding import Example, Finding, finding

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageFacts:
    """What reading a file showed.

    Attributes:
        size: (width, height) as stored, None where it cannot be decoded; orientation: EXIF's, 1 for none and
            for what is no orientation; depth: of a 16-bit file, the range its values were taken for.
        digest: of the file's bytes, b"" where there is none.
        fault: the finding that keeps it from being used, "" for none; message: in words.
    """

    size: tuple[int, int] | None
    orientation: int
    digest: bytes
    fault: str = ""
    message: str = ""
    depth: PixelRange | None = None


def image_paths(table: AnnotationTable, folder: Path) -> list[Path]:
    """The file of each image."""
    found = match_names(folder, table.file_names)
    return [found.path(name) for name in table.file_names]


def examine_image(path: Path) -> ImageFacts:
    """Read, hash and decode one file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ImageFacts(None, 1, b"", "images-missing", f"{path}: no such file")
    except OSError as error:
        return ImageFacts(None, 1, b"", "images-unreadable", f"{path}: {error.strerror or error}")
    digest = hashlib.blake2b(data, digest_size=16).digest()
    try:
        pixels, depth = decode_deep_image(data, str(path))
    except InputError as error:
        cut_off = f"{path}: truncated" in str(error)
        return ImageFacts(None, 1, digest, "images-truncated" if cut_off else "images-unreadable", str(error))
    with Image.open(io.BytesIO(data)) as image:
        orientation = image.getexif().get(_ORIENTATION, 1)
    orientation = orientation if orientation in range(2, 9) else 1  # programs also write 0 and 65537
    return ImageFacts((pixels.shape[1], pixels.shape[0]), orientation, digest, depth=depth)


def examine_images(paths: Sequence[Path], each: Callable[[], None] = lambda: None) -> list[ImageFacts]:
    """Examine many files in parallel; reading, hashing and decoding all let other threads run.

    Args:
        each: called after every file, for a progress bar.
    """

    def examine(path: Path) -> ImageFacts:
        facts = examine_image(path)
        each()
        return facts

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(examine, paths))


def image_findings(
    table: AnnotationTable, paths: Sequence[Path], facts: dict[int, ImageFacts]
) -> Iterator[Finding]:
    """What is wrong with the pictures.

    Args:
        facts: of the images that were read, by their index in the table.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    first_with: dict[bytes, int] = {}
    for index, seen in facts.items():
        name, path = f"image id {table.images[index].get('id')}", str(paths[index])
        if seen.fault:
            groups[seen.fault].append(
                Example(path, name, seen.message.removeprefix(f"image {path}: "), index)
            )
        wrong = _wrong_size(table.sizes[index], seen)
        if wrong:
            groups["images-wrong-size"].append(Example(path, name, wrong, index))
        elif seen.orientation != 1:
            value = f"EXIF orientation {seen.orientation}"
            groups["images-exif-rotated"].append(Example(path, name, value, index))
        if seen.depth is not None and seen.depth.bits < 16:
            value = f"values up to {seen.depth.highest}: taken for {seen.depth.bits}-bit"
            groups["images-few-bits"].append(Example(path, name, value, index))
        first = first_with.setdefault(seen.digest, index) if seen.digest else index
        if first != index and paths[first] != paths[index]:
            groups["images-twice"].append(Example(path, name, f"the same as {paths[first].name}", index))
    for name, examples in groups.items():
        yield finding(name, examples)


def missing_images(table: AnnotationTable, paths: Sequence[Path]) -> Iterator[Finding]:
    """Pictures that are not there, by one listing a folder instead of a look at each file."""
    listed: dict[str, set[str]] = {}
    for folder in {os.path.dirname(path) for path in paths}:
        listed[folder] = {entry.name for entry in os.scandir(folder)} if os.path.isdir(folder) else set()
    gone = [i for i, path in enumerate(paths) if path.name not in listed[os.path.dirname(path)]]
    examples = [
        Example(str(paths[i]), f"image id {table.images[i].get('id')}", "no such file", i) for i in gone[:3]
    ]
    if gone:
        yield finding("images-missing", examples, len(gone))


def _wrong_size(stated: Sequence[float], seen: ImageFacts) -> str:
    """What is wrong with the size; a picture that fits when turned is used turned."""
    if seen.size is None or not all(value > 0 for value in stated):
        return ""
    width, height = (int(value) for value in stated)
    if seen.size == (width, height) or (seen.orientation in (5, 6, 7, 8) and seen.size == (height, width)):
        return ""
    return f"{seen.size[0]} × {seen.size[1]} pixels, stated {width} × {height}"
