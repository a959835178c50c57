"""CVAT's own XML, "CVAT for images 1.1": one file with all pictures and their shapes."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

from ...errors import InputError
from .coco_json import folder_of_pictures
from .split import SPLITS, Content, DataSource, Problem, Split, split_name
from .voc_page import root_name

_ROOT = "annotations"
_OTHER_EXPORT = 'export it from CVAT as "COCO 1.0", "Pascal VOC 1.1" or a YOLO format'
_NO_SHAPE = ("tag", "attribute")


def find_cvat(path: Path, images: Path | None = None, need_images: bool = True) -> DataSource | None:
    """The data set of CVAT's annotations.xml, or of a folder that has one; None where there is none.

    Boxes are read as they stand, of polygons and turned boxes the upright box around them. The subsets of a
    project's export are its splits.

    Raises:
        InputError: several such files, a video's tracks, shapes that are no boxes, or XML that is broken.
    """
    candidates = [path] if path.is_file() else [*sorted(path.glob("*.xml")), *sorted(path.glob("*/*.xml"))]
    files = [f for f in candidates if not f.name.startswith(".") and root_name(f) == _ROOT]
    if not files:
        return None
    if len(files) > 1:
        raise InputError(f"{path}: {files[0].name} and {files[1].name} are both CVAT's; give one of them")
    file = files[0]
    root = _parse(file)
    pictures = root.findall("image")
    folder = images or folder_of_pictures(file, [_text(p, "name") for p in pictures[:20]], need_images)
    names = _class_names(root, pictures)
    subsets = {split_name(_text(picture, "subset")) for picture in pictures}
    if len(subsets) < 2 or None in subsets:
        parts = {"all": pictures}
    else:
        parts = {
            name: [p for p in pictures if split_name(_text(p, "subset")) == name]
            for name in SPLITS if name in subsets
        }  # fmt: skip
    contents = {name: _content(file, part, names) for name, part in parts.items()}
    return DataSource("cvat", path, {
        name: Split(name, file, folder, lambda content=content: content)  # type: ignore[misc]
        for name, content in contents.items()
    })  # fmt: skip


def _parse(file: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:
        raise InputError(f"{file}: not valid XML: {error}; export it again") from error
    if root.find("track") is not None:
        raise InputError(f"{file}: CVAT for video, with tracks instead of pictures; {_OTHER_EXPORT}")
    if root.find("image") is None:
        raise InputError(
            f"{file}: XML with <annotations>, as CVAT writes it, but no <image> in it; {_OTHER_EXPORT}"
        )
    kinds = Counter(shape.tag for image in root.iter("image") for shape in image)
    other = [kind for kind in kinds if kind not in ("box", "polygon", *_NO_SHAPE)]
    if other:
        raise InputError(
            f"{file}: CVAT for images with {kinds[other[0]]} <{other[0]}>, of which no box can be made; "
            f"remove them, or {_OTHER_EXPORT}"
        )
    return root


def _class_names(root: ElementTree.Element, pictures: list[ElementTree.Element]) -> list[str]:
    """The labels of the task in their order, else those that are used, by the alphabet."""
    used = sorted({_text(shape, "label") for p in pictures for shape in p if shape.tag not in _NO_SHAPE})
    listed = [(name.text or "").strip() for name in root.iterfind("meta//labels/label/name")]
    known = list(dict.fromkeys(name for name in listed if name))
    return known + [name for name in used if name not in known]


def _content(file: Path, pictures: list[ElementTree.Element], names: list[str]) -> Content:
    content = Content({"images": [], "annotations": [], "categories": []})
    content.data["categories"] = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    around = 0
    for image_id, picture in enumerate(pictures, start=1):
        name, sides = _text(picture, "name"), [_number(picture, side) for side in ("width", "height")]
        width, height = (int(side) if math.isfinite(side) and side > 0 else 0 for side in sides)
        content.data["images"].append({"id": image_id, "file_name": name, "width": width, "height": height})
        for number, shape in enumerate((s for s in picture if s.tag not in _NO_SHAPE), start=1):
            place = f"image {name!r}, <{shape.tag}> {number}"
            points = _points(shape)
            if points is None:
                values = dict(shape.attrib)
                content.problems.append(
                    Problem(str(file), place, str(values), "no numbers of a box; correct it")
                )
                continue
            around += shape.tag != "box" or _number(shape, "rotation") > 0
            content.data["annotations"].append(_annotation(points, names.index(_text(shape, "label")) + 1))
            content.data["annotations"][-1] |= {
                "id": len(content.data["annotations"]), "image_id": image_id, "origin": f"{file}, {place}",
            }  # fmt: skip
    if around:
        content.notes.append(f"{around} polygons or turned boxes: the upright boxes around them are taken")
    return content


def _annotation(points: list[tuple[float, float]], category: int) -> dict[str, Any]:
    xs, ys = zip(*points, strict=True)
    left, top, width, height = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    return {"category_id": category, "bbox": [left, top, width, height], "area": width * height, "iscrowd": 0}


def _points(shape: ElementTree.Element) -> list[tuple[float, float]] | None:
    """The corners of a box or polygon, None where it has no numbers for them."""
    if shape.tag == "polygon":
        try:
            points = [tuple(map(float, pair.split(","))) for pair in _text(shape, "points").split(";")]
        except ValueError:
            return None
        return [(p[0], p[1]) for p in points] if all(len(p) == 2 for p in points) else None
    x0, y0, x1, y1 = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        return None
    angle, cx, cy = math.radians(_number(shape, "rotation") or 0), (x0 + x1) / 2, (y0 + y1) / 2
    if not math.isfinite(angle) or angle == 0:
        return [(x0, y0), (x1, y1)]
    cos, sin = math.cos(angle), math.sin(angle)
    offsets = [(x - cx, y - cy) for x in (x0, x1) for y in (y0, y1)]
    return [(cx + dx * cos - dy * sin, cy + dx * sin + dy * cos) for dx, dy in offsets]


def _text(element: ElementTree.Element, key: str) -> str:
    return (element.get(key) or "").strip()


def _number(element: ElementTree.Element, key: str) -> float:
    """An attribute as a number, NaN where it is none."""
    try:
        return float(element.get(key) or "nan")
    except ValueError:
        return math.nan
