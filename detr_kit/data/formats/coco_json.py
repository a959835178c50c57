"""COCO data sets: finding the annotation files of a folder and the pictures of an annotation file."""

from __future__ import annotations

import codecs
import json
import mmap
import re
from itertools import islice
from pathlib import Path

from ...errors import InputError
from ..coco_annotations import read_coco_json
from ..file_names import match_names
from .picture_folders import best_folder, is_of_annotations, picture_folders, subfolders
from .split import SPLITS, Content, DataSource, Problem, Split, split_name

_PARTS = ("images", "annotations", "categories")
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
# What COCO's own download has beside the instances.
_OTHER_KINDS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def find_coco(path: Path, images: Path | None = None, need_images: bool = True) -> DataSource | None:
    """The data set of an annotation file, or of a folder that has some; None where there is none.

    Files are looked for in the folder, in those of annotations or a split in it, and in the folders in these.
    A file's name says which split it is, else that of its folder. Each JSON file is used, or named as unused
    in the content's notes. Pictures:
    `images`, else where the first file names are found; only with `need_images` do they have to be there.

    Raises:
        InputError: two files for one split, a train or val file that lacks one of COCO's lists, or no folder
            that has the pictures.
    """
    if path.is_file():
        if path.suffix.lower() != ".json":
            return None
        return DataSource("coco", path, {"all": _split("all", path, images, need_images)})
    lacking = {file: _lacking(file) for file in _json_files(path)}
    complete = [file for file, keys in lacking.items() if not keys]
    if not complete:
        return None
    files, unused = _choose(path, complete)
    for file, keys in lacking.items():
        if keys:
            unused[file] = _why_unused(path, file, keys)
    unused |= dict.fromkeys(_elsewhere(path), "it is in a folder of its own; give that folder to read it")
    notes = [f"{_shown(path, file)} is not used: {why}" for file, why in unused.items() if why]
    return DataSource("coco", path, {
        name: _split(name, files[name], images, need_images, notes if name == next(iter(files)) else [])
        for name in files
    })  # fmt: skip


def incomplete_coco(path: Path) -> str:
    """For a folder without a COCO file: the JSON file that is nearly one, and what it lacks; "" for none."""
    for file in _json_files(path) if path.is_dir() else []:
        keys = _lacking(file)
        if keys and len(keys) < len(_PARTS):
            return f"{_shown(path, file)} has no {' and no '.join(map(repr, keys))}"
    return ""


def _json_files(folder: Path) -> list[Path]:
    """The usual places first: of two files for a split in different folders the first is taken."""
    return [file for place in _places(folder) for file in _visible(place)]


def _places(folder: Path) -> list[Path]:
    """The folder, those of annotations or of a split in it, and the folders in these."""
    first = [child for child in subfolders(folder) if is_of_annotations(child)]
    parts = [child for child in subfolders(folder) if split_name(child.name) and child not in first]
    return [*first, folder, *parts, *(inner for child in (*first, *parts) for inner in subfolders(child))]


def _elsewhere(path: Path) -> list[Path]:
    """COCO files in folders of other names, which are not taken for the set's."""
    places = _places(path)
    return [
        f for child in subfolders(path) if child not in places for f in _visible(child) if not _lacking(f)
    ]


def _visible(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".json" and file.is_file()]
    return sorted(file for file in files if not file.name.startswith("."))


def _choose(path: Path, complete: list[Path]) -> tuple[dict[str, Path], dict[Path, str]]:
    """The file of each split, in the order of SPLITS; and why each other is not used."""
    ordinary = [f for f in complete if not f.name.startswith(_OTHER_KINDS)] or complete
    unused = {file: "it is another of COCO's tasks" for file in complete if file not in ordinary}
    if len(ordinary) == 1:
        return {"all": ordinary[0]}, unused
    files: dict[str, Path] = {}
    for file in sorted(ordinary, key=lambda f: not f.name.startswith("instances_")):
        name = _split_of(path, file)
        if name is None:
            unused[file] = "its name says no split (train, val or test)"
        elif name not in files:
            files[name] = file
        elif files[name].parent != file.parent or files[name].name.startswith("instances_"):
            unused[file] = f"{_shown(path, files[name])} is the {name} set"
        else:
            raise InputError(
                f"{path}: {_shown(path, files[name])} and {_shown(path, file)} are both {name} sets; give "
                "one folder for each set, or write a config that names the files"
            )
    if not files:
        shown = ", ".join(_shown(path, file) for file in ordinary[:4])
        raise InputError(f"{path}: {len(ordinary)} annotation files, none named train, val or test: "
                         f"{shown}; rename them or give one of them")  # fmt: skip
    return {name: files[name] for name in SPLITS if name in files}, unused


def _split_of(path: Path, file: Path) -> str | None:
    folders = file.parent.relative_to(path).parts
    return next(filter(None, map(split_name, (file.stem, *reversed(folders)))), None)


def _why_unused(path: Path, file: Path, keys: list[str]) -> str:
    """Why a JSON file that lacks some of COCO's lists is not used, "" where it has nothing to do with them.

    Raises:
        InputError: it is meant for training or validation: its pictures would be missed without a word.
    """
    missing = " and ".join(map(repr, keys))
    if len(keys) == len(_PARTS):
        return "it is no COCO file"
    if file.name.startswith(_OTHER_KINDS):
        return f"it has no {missing}"
    if (name := _split_of(path, file)) in ("train", "val"):
        raise InputError(
            f"{file}: {missing} is missing, so the {name} set cannot be used; export it with its annotations "
            '(an empty list, "annotations": [], where nothing is on the pictures), or move the file away'
        )
    return f"it has no {missing}"


def _shown(path: Path, file: Path) -> str:
    return file.relative_to(path).as_posix()


def _lacking(path: Path) -> list[str]:
    """Which of COCO's lists a JSON file has not; large files are searched, not parsed."""
    if path.stat().st_size == 0:
        return list(_PARTS)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        encoding = _WIDE.get(content[:2], "utf-8")
        return [part for part in _PARTS if content.find(f'"{part}"'.encode(encoding)) < 0]


def _split(
    name: str, file: Path, images: Path | None, need_images: bool, notes: list[str] | None = None
) -> Split:
    folder = images or find_images(file, need_images)

    def read() -> Content:
        content = Content(read_coco_json(file), notes=list(notes or []))
        named = [image["file_name"] for image in content.data["images"] if "file_name" in image]
        found = match_names(folder, map(str, named))
        if found.loose:
            content.notes.append(found.note())
        for wrong, files in found.ambiguous.items():
            remedy = (
                f"it may mean {' or '.join(files[:3])}, or the file is another name's; write the file's name"
            )
            content.problems.append(Problem(str(file), "", f"file_name {wrong!r}", remedy))
        return content

    return Split(name, file, folder, read)


def find_images(file: Path, required: bool = True) -> Path:
    """The folder that the file names of a COCO file are relative to, by looking for the first of them.

    Names that are spelt otherwise than the files count where no folder has a name as it stands.

    Raises:
        InputError: no folder near the file has them, and they are required.
    """
    return folder_of_pictures(file, _first_names(file), required)


def folder_of_pictures(file: Path, names: list[str], required: bool = True) -> Path:
    """The folder near an annotation file that most of some picture names are found in.

    Raises:
        InputError: none has any of them, and they are required.
    """
    here, split = file.parent, file.stem.removeprefix("instances_")
    groups = picture_folders(here, split if split_name(split) else here.name)

    def as_written(folder: Path) -> int:
        return sum((folder / name).is_file() for name in names)

    def by_any_spelling(folder: Path) -> int:
        return len(match_names(folder, names).paths)

    found = best_folder(groups, as_written)
    if found is None:
        # Beside a folder of the user's nothing is looked through: it may be a home directory.
        found = best_folder(groups if here.name.lower().startswith("annot") else groups[:1], by_any_spelling)
    if found is None and required and names:  # a file without names has another fault, told by its reader
        tried = ", ".join(str(folder) for group in groups for folder in group[:2])
        raise InputError(
            f"{file}: its pictures (first {names[:1]}) are in none of {tried}, … by this name or a like one; "
            "give their folder with --images"
        )
    return found or groups[0][0]


def _first_names(file: Path, count: int = 20) -> list[str]:
    """Some of a file's picture names; large files are searched, not parsed."""
    if file.stat().st_size == 0:
        return []
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = [match[1] for match in islice(_FILE_NAME.finditer(content), count)]
    try:
        return [json.loads(name) for name in found]
    except ValueError:  # of another encoding, or broken: what reads the whole file says so
        return []
