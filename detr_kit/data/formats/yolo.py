"""YOLO data sets: a text file of lines `class cx cy w h` beside each picture, and a data.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ...errors import InputError
from .boxes import polygon_to_coco, yolo_to_coco
from .image_files import is_image, list_images, shown_sizes
from .split import Content, DataSource, Problem, Split

_OVER = 0.01  # how far beyond the picture a coordinate may be by rounding
_MOST_CLASSES = 100_000  # beyond it is no class but a slip
_NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")


def find_yolo(path: Path) -> DataSource | None:
    """The data set of a data.yaml, or of a folder that has one or has `labels/`; None where there is none.

    `names` may be a list or a dict; `train`, `val`, `test` a folder, a text file of pictures, or a list of
    these; they are relative to `path`, and `path` to the folder of the yaml file.

    Raises:
        InputError: the yaml file is broken, or names what does not exist.
    """
    file = path if path.suffix in (".yaml", ".yml") else _yaml_in(path)
    if file is not None:
        return _from_yaml(path, file)
    if not path.is_dir() or next((path / "labels").rglob("*.txt"), None) is None:
        return None
    folder = path / "images"
    if not folder.is_dir():
        raise InputError(f"{path}: labels/ without images/; put the pictures in {folder}")
    parts = {name: folder / name for name in ("train", "val", "valid", "test") if (folder / name).is_dir()}
    pictures = {"val" if k == "valid" else k: list_images(v) for k, v in parts.items()}
    return _data_source(path, pictures or {"all": list_images(folder)}, _names_in(path))


def _yaml_in(folder: Path) -> Path | None:
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        text = file.read_text(encoding="utf-8", errors="replace")
        if any(line.startswith("names") for line in text.splitlines()):
            return file
    return None


def _from_yaml(path: Path, file: Path) -> DataSource:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: it cannot be read as YAML: {error}") from error
    if not isinstance(settings, Mapping) or "names" not in settings:
        raise InputError(f"{file}: 'names' is missing; a YOLO data set lists its classes there")
    names = _names_of(settings["names"], file)
    root = _root(settings.get("path"), file)
    pictures = {}
    for split in ("train", "val", "test"):
        entries = settings.get(split)
        if entries:
            entries = entries if isinstance(entries, list) else [entries]
            pictures[split] = [p for entry in entries for p in _pictures(str(entry), root, file, split)]
    if not pictures:
        raise InputError(f"{file}: none of 'train', 'val' and 'test' is given; name their picture folders")
    return _data_source(path, pictures, names, keypoints="kpt_shape" in settings)


def _names_of(value: Any, file: Path) -> dict[int, str]:
    if isinstance(value, list):
        return {index: str(name) for index, name in enumerate(value)}
    if isinstance(value, Mapping) and all(isinstance(key, int) and key >= 0 for key in value):
        return {key: str(value[key]) for key in sorted(value)}
    raise InputError(f"{file}: names={value!r}: it must be a list, or number: name for each class")


def _root(given: Any, file: Path) -> Path:
    """`path` as the training programs read it: relative to the yaml file, else to the working directory."""
    if given is None:
        return file.parent
    candidates = [file.parent / str(given), file.parent.parent / str(given), Path(str(given)).expanduser()]
    # A set that was moved still has the path of where it was made: its own folder is tried last.
    return next((folder for folder in candidates if folder.is_dir()), file.parent)


def _pictures(entry: str, root: Path, file: Path, split: str) -> list[Path]:
    # Roboflow writes ../train/images for the folder beside the yaml file.
    candidates = [root / entry, root / entry.removeprefix("../")]
    place = next((path for path in candidates if path.exists()), None)
    if place is None:
        raise InputError(f"{file}: {split}: {entry!r}: no {candidates[0]}; correct it, or 'path'")
    if place.is_dir():
        return list_images(place)
    pictures = []
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            picture = Path(line.strip())
            if not is_image(picture):
                raise InputError(f"{place}, line {number}: {line.strip()!r} is not the name of a picture")
            near = [place.parent / picture, root / picture]
            pictures.append(next((p for p in near if p.is_file()), near[0]))
    return pictures


def _names_in(path: Path) -> dict[int, str] | None:
    for name in _NAME_FILES:
        if (path / name).is_file():
            lines = (path / name).read_text(encoding="utf-8").split("\n")
            return {index: line.strip() for index, line in enumerate(lines) if line.strip()}
    return None


def _data_source(
    path: Path, pictures: dict[str, list[Path]], names: dict[int, str] | None, keypoints: bool = False
) -> DataSource:
    root = path if path.is_dir() else path.parent
    contents = {split: _read(root, files, names, keypoints) for split, files in pictures.items()}
    if names is None:
        _number_classes(list(contents.values()))
    splits = {
        name: Split(name, path, root, lambda content=content: content)  # type: ignore[misc]
        for name, content in contents.items()
    }
    return DataSource("yolo", path, splits)


def _number_classes(contents: list[Content]) -> None:
    """Without a list of names all classes up to the largest that is used, in every split alike."""
    used = [a["category_id"] for content in contents for a in content.data["annotations"]]
    for content in contents:
        names = range(max(used, default=-1) + 1)
        content.data["categories"] = [{"id": index, "name": f"class {index}"} for index in names]
        content.notes.append("no data.yaml or classes.txt names the classes; they are called by their numbers")


def _read(root: Path, pictures: list[Path], names: dict[int, str] | None, keypoints: bool) -> Content:
    content = Content({"images": [], "annotations": [], "categories": []})
    content.data["categories"] = [{"id": index, "name": name} for index, name in (names or {}).items()]
    images, annotations = content.data["images"], content.data["annotations"]
    for picture, size in zip(pictures, shown_sizes(pictures), strict=True):
        width, height = size or (0, 0)
        name = str(picture.relative_to(root)) if picture.is_relative_to(root) else str(picture.resolve())
        image_id = len(images) + 1
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        label_file = _label_file(picture)
        shown = str(label_file.relative_to(root)) if label_file.is_relative_to(root) else str(label_file)
        if size is None:
            wrong = "not a picture" if picture.exists() else "no such file"
            remedy = f"{wrong}; replace it, or remove it and its label file"
            content.problems.append(Problem(str(picture), "", "", remedy, is_image=True))
            continue
        for number, line in enumerate(_lines(label_file), start=1):
            if not line.strip():
                continue
            parsed = _parse(line, names, keypoints)
            if isinstance(parsed, str):
                content.problems.append(Problem(shown, f"line {number}", repr(line.strip()[:80]), parsed))
                continue
            label, numbers = parsed
            box = (yolo_to_coco if len(numbers) == 4 else polygon_to_coco)(numbers, width, height)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": label, "bbox": box,
                "area": box[2] * box[3], "iscrowd": 0, "origin": f"{shown}, line {number}",
            })  # fmt: skip
    return content


def _label_file(picture: Path) -> Path:
    """…/images/….jpg -> …/labels/….txt, the last `images` counting; a picture elsewhere has it beside itself."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            return Path(*parts).with_suffix(".txt")
    return picture.with_suffix(".txt")


def _lines(path: Path) -> list[str]:
    """A picture without a label file shows nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _parse(line: str, names: dict[int, str] | None, keypoints: bool) -> tuple[int, list[float]] | str:
    """The class and the four or more coordinates of a line, or what is wrong with it."""
    fields = line.split()
    try:
        label, numbers = float(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        return "not numbers; a line is `class cx cy w h`"
    if not math.isfinite(label) or label != int(label) or not 0 <= label < _MOST_CLASSES:
        return f"class {fields[0]}: classes are numbered 0, 1, 2, …"
    if names is not None and int(label) not in names:
        return f"class {fields[0]}: 'names' has no such class (it has {min(names, default='none')} … {max(names, default='none')})"
    numbers = numbers[:4] if keypoints else numbers
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        return f"{len(fields)} values; a line is `class cx cy w h`, or a class and the corners of a polygon"
    if any(math.isfinite(v) and abs(v) > 1 + _OVER for v in numbers):
        return "coordinates beyond 1: they are divided by the picture's width and height, not pixels"
    return int(label), numbers
