"""The images that are to be predicted on, by paths that every machine understands."""

from __future__ import annotations

import glob
from collections.abc import Iterable

from ..errors import InputError
from ..sources import IMAGE_SUFFIXES, expand, is_image_name, is_single
from ..storage import absolute, find_files, is_url, join


def list_images(sources: Iterable[str]) -> list[str]:
    """Images behind files, folders, patterns and addresses of these, in order, each once.

    Args:
        sources: as `detr-kit predict` takes them; an address such as `s3://bucket/photos/` stands for the
            images directly in it, and may be a pattern. A single file need not be there: what cannot be read
            becomes a row of the table of errors.

    Raises:
        InputError: a folder or pattern without images, or a place that cannot be reached.
    """
    found: dict[str, None] = {}
    for source in sources:
        found.update(dict.fromkeys(_at_address(source) if is_url(source) else _on_disk(source)))
    return list(found)


def _on_disk(source: str) -> list[str]:
    if is_single(source):
        return [absolute(source)]
    images = [absolute(path) for path in expand(source) if is_image_name(path)]
    return images or _nothing(source)


def _at_address(source: str) -> list[str]:
    web = source.startswith(("http://", "https://"))  # whose `?` asks for nothing, and which has no folders
    if web or (is_image_name(source) and not glob.has_magic(source)):
        return [source]
    if not glob.has_magic(source):
        source = join(source, "*")
    return [path for path in find_files(source) if is_image_name(path)] or _nothing(source)


def _nothing(source: str) -> list[str]:
    raise InputError(f"{source}: no image there; files must end in one of {', '.join(IMAGE_SUFFIXES)}")
