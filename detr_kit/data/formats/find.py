"""A data set of any known format, found at a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ...given_paths import data_paths
from .coco_json import find_coco, incomplete_coco
from .cvat import find_cvat
from .picture_folders import subfolders
from .split import Content, DataSource, Split
from .voc import annotation_folders, find_voc
from .voc_page import root_name
from .yolo import find_yolo

_MOST_TRIED = 40  # inner folders, for a hint


def find_data(path: str | Path, images: str | Path | None = None, need_images: bool = True) -> DataSource:
    """Recognise COCO JSON, Pascal VOC, YOLO or CVAT's XML by content, and find the splits.

    Where a folder holds several formats the first of COCO, YOLO, VOC and CVAT is read, and the content's
    notes name the others.

    Args:
        path: an annotation file, a data.yaml, or a folder.
        images: the folder of the pictures, where it is not beside the annotations (all but YOLO).
        need_images: a COCO file whose pictures are nowhere to be found is refused.

    Raises:
        InputError: nothing there, no known format, or one that is incomplete.
    """
    path, folder = data_paths(path, images)
    if path.suffix.lower() == ".xml" and root_name(path) == "annotation":
        raise InputError(f"{path}: one XML file; give the folder that it is in")
    found = _find(path, folder, need_images)
    if found is not None:
        return _with_note(found, ", ".join(_others(found)))
    raise InputError(
        f"{path}: no data set of a known format. Looked for: COCO (a JSON file with images, annotations and "
        "categories, here, in annotations/ or in train/ and valid/), YOLO (a data.yaml, or labels/*.txt "
        "beside images/), Pascal VOC (XML files with <annotation>, here or three folders deep) and CVAT for "
        "images (annotations.xml)"
        f"{_hint(path)}"
    )


def _find(path: Path, images: Path | None, need_images: bool) -> DataSource | None:
    return (
        find_coco(path, images, need_images)
        or find_yolo(path)
        or find_voc(path, images)
        or find_cvat(path, images, need_images)
    )


def _others(found: DataSource) -> Iterator[str]:
    """What else the folder holds, of formats that were not read."""
    path = found.path
    if not path.is_dir():
        return
    if found.format in ("coco", "yolo"):
        for folder in annotation_folders(path)[:1]:
            yield f"the XML files in {folder.relative_to(path)}/ (give that folder to read them)"
    if found.format == "coco":
        for folder in subfolders(path):
            if folder.name.lower() == "labels" and next(folder.rglob("*.txt"), None):
                yield f"the label files in {folder.name}/"


def _with_note(found: DataSource, unused: str) -> DataSource:
    """The set with a note in its first split that something is not used."""
    if not unused:
        return found
    name, split = next(iter(found.splits.items()))
    note = f"read as {found.format.upper()}; not used: {unused}"

    def read() -> Content:
        content = split.read()
        return content if note in content.notes else replace(content, notes=[*content.notes, note])

    return replace(found, splits={**found.splits, name: Split(name, split.source, split.images, read)})


def _hint(path: Path) -> str:
    """What is nearly a data set, or an inner folder that is one."""
    if not path.is_dir():
        return ""
    nearly = incomplete_coco(path)
    level = [path]
    for _ in range(4):
        level = [child for folder in level for child in subfolders(folder)][:_MOST_TRIED]
        for folder in level:
            try:
                found = _find(folder, None, True)
            except InputError:
                continue
            if found is not None:
                return f"; but {folder} is a {found.format.upper()} set: give that folder"
    return f"; {nearly}" if nearly else ""
