"""YOLO label files: lines `class cx cy w h`, or a class and the corners of a polygon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..text_file import read_text
from .boxes import polygon_to_coco, yolo_to_coco
from .image_files import shown_sizes
from .split import Content, Problem

_OVER = 0.01  # how far beyond the picture a coordinate may be by rounding
_MOST_CLASSES = 100_000  # beyond it is no class but a slip


def read_labels(
    root: Path,
    labels_of: dict[Path, list[Path]],
    names: dict[int, str] | None,
    keypoints: bool = False,
) -> Content:
    """The pictures of a split and what their label files say, in COCO form.

    Args:
        root: the folder that file names are relative to, where they are below it.
        labels_of: the split's pictures, each with its label files, of which the first counts; a picture
            without one shows nothing.
        names: of the classes; None takes any class.
        keypoints: lines go on behind the box.
    """
    content = Content({"images": [], "annotations": [], "categories": []})
    content.data["categories"] = [{"id": index, "name": name} for index, name in (names or {}).items()]
    images, pictures = content.data["images"], list(labels_of)
    for picture, size in zip(pictures, shown_sizes(pictures), strict=True):
        width, height = size or (0, 0)
        name = relative(picture, root) if picture.is_relative_to(root) else str(picture.resolve())
        image = {"id": len(images) + 1, "file_name": name, "width": width, "height": height}
        images.append(image)
        if size is None:
            wrong = "not a picture" if picture.exists() else "no such file"
            remedy = f"{wrong}; replace it, or remove it and its label file"
            content.problems.append(Problem(str(picture), "", "", remedy, is_image=True))
        elif labels_of[picture]:
            _read_file(content, image, labels_of[picture][0], root, names, keypoints)
    return content


def _read_file(
    content: Content,
    image: dict[str, Any],
    file: Path,
    root: Path,
    names: dict[int, str] | None,
    keypoints: bool,
) -> None:
    shown, annotations = relative(file, root), content.data["annotations"]
    try:
        lines = read_text(file).split("\n")
    except InputError as error:
        content.problems.append(Problem(shown, "", "", str(error).removeprefix(f"{file}").lstrip(":, ")))
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parsed = _parse(line, names, keypoints)
        if isinstance(parsed, str):
            content.problems.append(Problem(shown, f"line {number}", repr(line.strip()[:80]), parsed))
            continue
        label, numbers = parsed
        to_coco = yolo_to_coco if len(numbers) == 4 else polygon_to_coco
        box = to_coco(numbers, image["width"], image["height"])
        annotations.append({
            "id": len(annotations) + 1, "image_id": image["id"], "category_id": label, "bbox": box,
            "area": box[2] * box[3], "iscrowd": 0, "origin": f"{shown}, line {number}",
        })  # fmt: skip


def relative(path: Path, root: Path) -> str:
    """A path as people know it: from the data set's folder."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def has_label_lines(file: Path) -> bool:
    """Whether a text file looks like labels: a line of it ends with four numbers, behind a class."""
    try:
        lines = [line.split() for line in read_text(file).split("\n")]
    except InputError:
        return False
    return any(len(fields) >= 5 and _are_numbers(fields[1:5]) for fields in lines)


def _are_numbers(fields: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(field)) for field in fields)
    except ValueError:
        return False


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
        known = f"{min(names, default='none')} … {max(names, default='none')}"
        return f"class {fields[0]}: 'names' has no such class (it has {known})"
    numbers = numbers[:4] if keypoints else numbers
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        return f"{len(fields)} values; a line is `class cx cy w h`, or a class and the corners of a polygon"
    if any(math.isfinite(v) and abs(v) > 1 + _OVER for v in numbers):
        return "coordinates beyond 1: they are divided by the picture's width and height, not pixels"
    return int(label), numbers
