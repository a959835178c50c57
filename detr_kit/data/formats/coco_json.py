"""COCO data sets: finding the annotation files of a folder and the pictures of an annotation file."""

from __future__ import annotations

import json
import mmap
import re
from itertools import islice
from pathlib import Path

from ...errors import InputError
from ..coco_annotations import read_coco_json
from .split import SPLITS, Content, DataSource, Split, split_name

_PARTS = (b'"images"', b'"annotations"', b'"categories"')
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


def find_coco(path: Path, images: Path | None = None, need_images: bool = True) -> DataSource | None:
    """The data set of an annotation file, or of a folder that has some; None where there is none.

    Folders: `annotations/*.json`, `*.json`, or `train/`, `valid/`, `test/` with a JSON file each. A file's
    name says which split it is. Pictures: `images`, else where the first file names are found; only with
    `need_images` do they have to be there.

    Raises:
        InputError: two files for one split, or no folder that has the pictures.
    """
    if path.is_file():
        if path.suffix.lower() != ".json":
            return None
        return DataSource("coco", path, {"all": _split("all", path, images, need_images)})
    files = _annotation_files(path)
    if not files:
        return None
    if len(files) == 1:
        return DataSource("coco", path, {"all": _split("all", files[0], images, need_images)})
    splits: dict[str, Split] = {}
    for file in files:
        name = split_name(file.stem) or split_name(file.parent.name)
        if name is None:
            continue
        if name in splits:
            raise InputError(
                f"{path}: {splits[name].source.name} and {file.name} are both {name} sets; give one folder for "
                "each set, or write a config that names the files"
            )
        splits[name] = _split(name, file, images, need_images)
    if not splits:
        raise InputError(f"{path}: {len(files)} annotation files, none named train, val or test: "
                         f"{', '.join(f.name for f in files[:4])}; rename them or give one of them")  # fmt: skip
    return DataSource("coco", path, {name: splits[name] for name in SPLITS if name in splits})


def _annotation_files(folder: Path) -> list[Path]:
    places = [folder / "annotations", folder]
    places += sorted(p for p in folder.iterdir() if p.is_dir() and split_name(p.name))
    for group in (places[:1], places[1:2], places[2:]):
        files = [f for place in group for f in sorted(place.glob("*.json")) if _is_coco(f)]
        # COCO's own download has captions and keypoints beside the instances.
        instances = [f for f in files if f.name.startswith("instances_")]
        if files:
            return instances or files
    return []


def _is_coco(path: Path) -> bool:
    """Whether a JSON file has COCO's lists; large files are searched, not parsed."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.find(part) >= 0 for part in _PARTS)


def _split(name: str, file: Path, images: Path | None, need_images: bool) -> Split:
    folder = images or find_images(file, need_images)
    return Split(name, file, folder, lambda: Content(read_coco_json(file)))


def find_images(file: Path, required: bool = True) -> Path:
    """The folder that the file names of a COCO file are relative to, by looking for the first of them.

    Raises:
        InputError: none of the usual places has them, and they are required.
    """
    names = _first_names(file)
    here, split = file.parent, file.stem.removeprefix("instances_")
    candidates = [here / "images", here / split, here, here.parent / "images", here.parent / split, here.parent,
                  here.parent / "images" / split, here / "images" / split]  # fmt: skip
    hits = [sum((folder / name).is_file() for name in names) for folder in candidates]
    if required and names and max(hits) == 0:  # a file without names has another fault, told by its reader
        raise InputError(
            f"{file}: its pictures (first {names[:1]}) are in none of "
            f"{', '.join(str(c) for c in candidates[:4])}; give their folder with --images"
        )
    return candidates[hits.index(max(hits))]


def _first_names(file: Path, count: int = 20) -> list[str]:
    """Some of a file's picture names; large files are searched, not parsed."""
    if file.stat().st_size == 0:
        return []
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = [json.loads(match[1]) for match in islice(_FILE_NAME.finditer(content), count)]
    return found
