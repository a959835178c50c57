"""The pictures of each split of a YOLO data set: as its description says, or as its folders are called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ..file_names import match_names
from ..text_file import read_text
from .image_files import UNREAD_SUFFIXES, is_hidden, is_image, list_files, list_images
from .split import split_name
from .yolo_label_files import IMAGE_FOLDERS, is_label_folder, name_key
from .yolo_yaml import YoloSettings

_LISTS = ("train", "val", "valid", "test")


def listed_pictures(settings: YoloSettings) -> dict[str, list[Path]]:
    """The pictures that the entries of a description name; what was decided is added to its warnings.

    Raises:
        InputError: an entry of train or val is not there, or holds no picture.
    """
    pictures: dict[str, list[Path]] = {}
    for split, entries in settings.entries.items():
        try:
            found = [p for entry in entries for p in _pictures_of(entry, settings, split)]
            if not found:
                raise InputError(f"{settings.file}: {split}: {', '.join(entries)}: no picture there")
        except InputError as error:
            if split != "test":
                raise
            settings.warnings.append(f"{error}; the set has no test split then")
            continue
        pictures[split] = found
    return pictures


def lists_in(folder: Path) -> dict[str, list[str]]:
    """train.txt, val.txt, test.txt of a folder that list pictures, as the entries of a description."""
    found: dict[str, list[str]] = {}
    for name in _LISTS:
        file = folder / f"{name}.txt"
        if file.is_file() and any(is_image(Path(line.strip())) for line in read_text(file).split("\n")[:100]):
            found.setdefault(split_name(name) or name, [file.name])
    return found


def found_pictures(path: Path) -> dict[str, list[Path]]:
    """Pictures where a data set without a description has them, by split; "" is those in none.

    They are in the folder itself, in a folder called as those of pictures are or beside one of labels, or in
    folders called as splits are.
    """
    pictures = [file for file in sorted(path.iterdir()) if is_image(file) and file.is_file()]
    folders = sorted(f for f in path.iterdir() if f.is_dir() and not is_hidden(f.name))
    others = [folder for folder in folders if not is_label_folder(folder.name)]
    known = [f for f in others if f.name.casefold() in IMAGE_FOLDERS or split_name(f.name) is not None]
    if not known and len(others) < len(folders):
        known = others
    for folder in known:
        pictures += list_images(folder)
    data = path / "data"
    if data.is_dir() and data not in known:
        pictures += [file for file in sorted(data.iterdir()) if is_image(file) and file.is_file()]
    splits: dict[str, list[Path]] = {}
    for picture in pictures:
        words = map(split_name, picture.relative_to(path).parent.parts)
        splits.setdefault(next((word for word in words if word), ""), []).append(picture)
    return splits


def _pictures_of(entry: str, settings: YoloSettings, split: str) -> list[Path]:
    place = _locate(entry, settings, split)
    if place.is_dir():
        found = list_images(place)
        unread = [file for file in list_files(place) if file.suffix.lower() in UNREAD_SUFFIXES]
        if unread and not found:
            raise InputError(f"{settings.file}: {split}: {place} holds {unread_pictures(unread)}")
        return found
    return [place] if is_image(place) else _listed(place, settings)


def unread_pictures(files: list[Path]) -> str:
    """How many there are, and what to do."""
    kinds = ", ".join(sorted({file.suffix.lower() for file in files}))
    return f"{len(files)} pictures of a type that is not read ({kinds}); convert them to JPEG or PNG"


def _locate(entry: str, settings: YoloSettings, split: str) -> Path:
    """The file or folder that an entry means.

    Raises:
        InputError: there is none.
    """
    text = entry.strip().replace("\\", "/")
    root, file = settings.root, settings.file
    # Roboflow writes ../train/images for the folder beside the yaml file, darknet data/train.txt.
    direct = [
        root / text,
        root / text.removeprefix("../"),
        file.parent / text,
        root / text.removeprefix("data/"),
    ]
    found = next((path for path in direct if _exists(path)), None)
    if found is None:
        found = next((path for path in _moved(text, [root, file.parent]) if path is not None), None)
        if found is None:
            raise InputError(f"{file}: {split}: {entry!r}: no {direct[0]}; correct it, or 'path'")
        settings.warnings.append(f"{file.name}: {split}: {entry!r} is not there; {found} is taken")
    return Path(os.path.normpath(found))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _moved(text: str, folders: Iterable[Path]) -> Iterable[Path | None]:
    """What the end of a path names here: /content/set/train/images is train/images. No split is cut off."""
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        if any(split_name(part) for part in parts[:start]):
            return
        yield from (_descend(folder, parts[start:]) for folder in folders)


def _descend(folder: Path, parts: list[str]) -> Path | None:
    """The file or folder below one, whatever the case of its name."""
    for part in parts:
        if not folder.is_dir():
            return None
        inner = {name_key(path.name): path for path in sorted(folder.iterdir())}
        found = inner.get(name_key(part))
        if found is None:
            return None
        folder = found
    return folder


def _listed(file: Path, settings: YoloSettings) -> list[Path]:
    """The pictures of a text file, one a line, relative to its folder or the set's."""
    lines = [line.strip() for line in read_text(file).split("\n")]
    for number, line in enumerate(lines, start=1):
        suffix = Path(line.replace("\\", "/")).suffix.lower()
        if line and suffix in UNREAD_SUFFIXES:
            raise InputError(
                f"{file}, line {number}: {line!r}: {suffix} is not read; convert the picture to JPEG or PNG"
            )
        if line and not is_image(Path(line.replace("\\", "/"))):
            raise InputError(f"{file}, line {number}: {line!r} is not the name of a picture")
    names = list(dict.fromkeys(line for line in lines if line))
    beside = {name: path for name in names if (path := _beside(file, name))}
    matches = match_names(settings.root, [name for name in names if name not in beside])
    if matches.ambiguous:
        settings.warnings.append(f"{file.name}: {matches.complaint()}")
    if matches.note():
        settings.warnings.append(f"{file.name}: {matches.note()}")
    return [Path(os.path.normpath(beside.get(name) or matches.path(name))) for name in lines if name]


def _beside(file: Path, name: str) -> Path | None:
    """The picture that a line means without further ado; darknet's lines begin with data/."""
    near = (file.parent / name, file.parent / name.removeprefix("data/"))
    return next((path for path in near if _exists(path)), None)
