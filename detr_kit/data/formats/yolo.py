"""YOLO data sets: a text file of lines `class cx cy w h` for each picture, and a data.yaml."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ...errors import InputError
from .image_files import is_hidden, list_files
from .split import SPLITS, Content, DataSource, Split
from .yolo_label_files import LabelFiles, is_label_folder
from .yolo_labels import has_label_lines, read_labels, relative
from .yolo_pictures import found_pictures, listed_pictures, lists_in
from .yolo_unused import no_label_at_all, tell_unused
from .yolo_yaml import YoloSettings, find_settings, read_names, read_settings

_DESCRIPTIONS = (".yaml", ".yml", ".data")
_NAME_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt")


def find_yolo(path: Path) -> DataSource | None:
    """The data set of a data.yaml or obj.data, or of a folder; None where there is none.

    `names` may be a list or a dict; `train`, `val`, `test` a folder, a text file of pictures, or a list of
    these; they are relative to `path`, and `path` to the folder of the yaml file. A folder without such a
    file is one of these: pictures and labels in sibling folders (`images/train`, `labels/train`), in folders
    of the splits (`train/images`, `train/labels`), or side by side; `train.txt` and `val.txt` may say what is
    in which split, `classes.txt` or `obj.names` name the classes.

    Raises:
        InputError: the description is broken, or names what does not exist; no picture has labels.
    """
    if path.is_file():
        if path.suffix.lower() not in _DESCRIPTIONS:
            return None
        settings = read_settings(path)
        if not settings.entries:
            raise _no_split(path)
        return _described(path, settings)
    if not path.is_dir():
        return None
    found = find_settings(path)
    if found is not None and found.entries:
        return _described(path, found)
    source = _of_folder(path, found)
    if source is None and found is not None and not any(f.suffix.lower() == ".xml" for f in list_files(path)):
        raise _no_split(found.file)
    return source


def _no_split(file: Path) -> InputError:
    return InputError(f"{file}: none of 'train', 'val' and 'test' is given; name their picture folders")


def _described(path: Path, settings: YoloSettings) -> DataSource:
    pictures = listed_pictures(settings)
    if not pictures:
        raise InputError(f"{settings.file}: no split of it can be read: {'; '.join(settings.warnings)}")
    return _data_source(path, settings, pictures)


def _of_folder(path: Path, settings: YoloSettings | None) -> DataSource | None:
    labels, entries = LabelFiles(path), lists_in(path)
    settings = settings or YoloSettings(path, path, None)
    if entries:
        listed = YoloSettings(
            path, path, settings.names, entries, settings.keypoints, warnings=settings.warnings
        )
        pictures = listed_pictures(listed)
        if _have_labels(pictures, labels):
            return _data_source(path, listed, pictures)
    found = found_pictures(path)
    if not _have_labels(found, labels):
        folder = _label_folder(path)
        if folder is None:
            return None
        if not found:
            raise InputError(f"{path}: {folder.name}/ without images/; put the pictures in {path / 'images'}")
    rest = found.pop("", [])
    return _data_source(path, settings, found or {"all": rest}, rest if found else [])


def _have_labels(pictures: dict[str, list[Path]], labels: LabelFiles) -> bool:
    """Whether a picture has labels: a file in a folder of that name, or lines that look so beside it."""
    files = (file for part in pictures.values() for picture in part for file in labels.of(picture)[:1])
    return any(
        "label" in relative(file.parent, labels.root).casefold() or has_label_lines(file) for file in files
    )


def _label_folder(path: Path) -> Path | None:
    """A folder of labels, though no picture's."""
    folders = sorted(
        f for f in path.iterdir() if f.is_dir() and is_label_folder(f.name) and not is_hidden(f.name)
    )
    texts = ((f, file) for f in folders for file in list_files(f) if file.suffix.lower() == ".txt")
    return next((folder for folder, file in texts if has_label_lines(file)), None)


def _data_source(
    path: Path, settings: YoloSettings, pictures: dict[str, list[Path]], left_out: list[Path] | None = None
) -> DataSource:
    folder, labels = path if path.is_dir() else path.parent, LabelFiles(settings.root)
    order = [split for split in ("all", *SPLITS) if split in pictures]
    labels_of = {split: {p: labels.of(p) for p in pictures[split]} for split in order}
    if not any(files for part in labels_of.values() for files in part.values()):
        raise InputError(f"{path}: {no_label_at_all(labels_of, labels)}")
    names = settings.names or _names_in(path, labels)
    contents = {split: read_labels(folder, labels_of[split], names, settings.keypoints) for split in order}
    for split, content in contents.items():
        twice = len(pictures[split]) - len(labels_of[split])
        if twice:
            content.warnings.append(f"{split}: {twice} pictures are listed twice; each counts once")
    if names is None:
        _number_classes(list(contents.values()))
    tell_unused(contents, labels_of, labels, bool(settings.entries), left_out or [])
    first = contents[order[0]]
    first.notes.extend(settings.notes)
    first.warnings.extend([*settings.warnings, *_shared_names(names or {})])
    splits = {
        name: Split(name, path, folder, lambda content=content: content)  # type: ignore[misc]
        for name, content in contents.items()
    }
    return DataSource("yolo", path, splits)


def _names_in(path: Path, labels: LabelFiles) -> dict[int, str] | None:
    """The names in a classes.txt or the like: in the set's folder, with the labels, or with the pictures.

    Raises:
        InputError: two of them say different things.
    """
    for folders in ([path], sorted(labels.label_roots), sorted(labels.image_roots)):
        files = [f for folder in folders if folder.is_dir() for f in sorted(folder.iterdir()) if f.is_file()]
        found = {f: read_names(f) for f in files if f.name.lower() in _NAME_FILES}
        if len({str(names) for names in found.values()}) > 1:
            raise InputError(
                f"{' and '.join(map(str, found))}: they name different classes; keep one of them"
            )
        if found:
            return next(iter(found.values()))
    return None


def _number_classes(contents: list[Content]) -> None:
    """Without a list of names all classes up to the largest that is used, in every split alike."""
    used = [a["category_id"] for content in contents for a in content.data["annotations"]]
    for content in contents:
        names = range(max(used, default=-1) + 1)
        content.data["categories"] = [{"id": index, "name": f"class {index}"} for index in names]
        content.notes.append(
            "no data.yaml or classes.txt names the classes; they are called by their numbers"
        )


def _shared_names(names: dict[int, str]) -> list[str]:
    counts = Counter(names.values())
    return [f"{count} classes are named {name!r}" for name, count in counts.items() if count > 1]
