"""Pascal VOC data sets: an XML file for each picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from .boxes import voc_to_coco
from .image_files import is_image, shown_sizes
from .split import SPLITS, Content, DataSource, Problem, Split, split_name

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Object:
    name: str
    corners: tuple[float, ...]
    difficult: bool
    place: str


@dataclass(frozen=True)
class _Page:
    """One XML file: the picture that it describes, its size as the file says it, and its objects."""

    file: Path
    picture: Path
    size: tuple[int, int]
    objects: list[_Object]
    problems: list[Problem]


def find_voc(path: Path, images: Path | None = None) -> DataSource | None:
    """The data set of a folder of XML files, or of the usual tree above it; None where there is none.

    Trees: `Annotations/`, `JPEGImages/` (or `images/`) and `ImageSets/Main/{train,val,test}.txt`; folders
    `train/`, `valid/`, `test/` with pictures and XML files together; one folder of XML files, its pictures in
    it or in `images/` or `JPEGImages/` beside it.

    Categories are numbered 1, 2, 3, … in the order of their names, which is VOC's own order. Objects marked
    `difficult` become crowd regions: not trained on, and neither right nor wrong in evaluation.

    Raises:
        InputError: a split names a picture that has no XML file.
    """
    if not path.is_dir():
        return None
    pages: dict[str, list[_Page]] = {}
    base = images or path
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    if any(folder.glob("*.xml")):
        root = path if folder != path else path.parent
        base = _image_folder(root, folder, images)
        found = _read_folder(folder, base)
        lists = path / "ImageSets" / "Main"
        pages = _listed(lists, found) if lists.is_dir() else {"all": found}
    else:
        for part in sorted(p for p in path.iterdir() if p.is_dir()):
            name = split_name(part.name)
            if name and any(part.glob("*.xml")):
                if name in pages:
                    raise InputError(
                        f"{path}: {part.name}/ is the second folder of the {name} split; join them, or rename one"
                    )
                pages[name] = _read_folder(part, images or part)
    if not pages:
        return None
    everything = [page for part in pages.values() for page in part]
    names = sorted({o.name for page in everything for o in page.objects})
    first_pixel, notes = _first_pixel(everything)
    splits = {}
    for name in sorted(pages, key=("all", *SPLITS).index):
        content = _content(pages[name], names, first_pixel, base, notes)
        splits[name] = Split(name, folder, base, lambda content=content: content)  # type: ignore[misc]
    return DataSource("voc", path, splits)


def _image_folder(root: Path, folder: Path, images: Path | None) -> Path:
    if images is not None or any(is_image(p) for p in folder.iterdir()):
        return images or folder
    candidates = [root / "JPEGImages", root / "images"]
    found = next((c for c in candidates if c.is_dir()), None)
    if found is None:
        raise InputError(f"{folder}: XML files without pictures, and no {candidates[0]} or {candidates[1]}; "
                         "give the folder of the pictures with --images")  # fmt: skip
    return found


def _listed(lists: Path, pages: Sequence[_Page]) -> dict[str, list[_Page]]:
    """The pages of each split that ImageSets/Main lists."""
    page_of = {page.file.stem: page for page in pages}
    result: dict[str, list[_Page]] = {}
    present = [name for name in ("train", "val", "test", "trainval") if (lists / f"{name}.txt").is_file()]
    if "train" in present and "trainval" in present:
        present.remove("trainval")
    for name in present:
        file = lists / f"{name}.txt"
        stems = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
        for number, stem in enumerate(stems, start=1):
            if stem not in page_of:
                raise InputError(f"{file}, line {number}: {stem!r} has no XML file; add it or remove the line")
        result["train" if name == "trainval" else name] = [page_of[stem] for stem in stems]
    return result or {"all": list(pages)}


def _read_folder(folder: Path, image_folder: Path) -> list[_Page]:
    listed = {p.name: p for p in image_folder.iterdir() if is_image(p)} if image_folder.is_dir() else {}
    by_stem = {p.stem: p for p in listed.values()}
    return [_read_page(file, image_folder, listed, by_stem) for file in sorted(folder.glob("*.xml"))]


def _read_page(file: Path, image_folder: Path, listed: dict[str, Path], by_stem: dict[str, Path]) -> _Page:
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:  # also unknown encodings
        problem = Problem(str(file), "", "", f"not valid XML: {error}; export it again")
        return _Page(file, by_stem.get(file.stem, image_folder / file.stem), (0, 0), [], [problem])
    stated = (root.findtext("filename") or "").strip()
    picture = listed.get(stated) or by_stem.get(Path(stated).stem) or by_stem.get(file.stem)
    picture = picture or image_folder / (stated or f"{file.stem}.jpg")
    objects, problems = [], []
    for number, element in enumerate(root.findall("object"), start=1):
        parsed = _read_object(element, number)
        if isinstance(parsed, _Object):
            objects.append(parsed)
        else:
            value, remedy = parsed
            problems.append(Problem(str(file), f"object {number}", value, remedy))
    return _Page(file, picture, _size(root), objects, problems)


def _size(root: ElementTree.Element) -> tuple[int, int]:
    """(width, height), zeros where the file does not say."""
    try:
        return int(float(root.findtext("size/width") or 0)), int(float(root.findtext("size/height") or 0))
    except (ValueError, OverflowError):
        return 0, 0


def _read_object(element: ElementTree.Element, number: int) -> _Object | tuple[str, str]:
    """An object, or the value that is wrong and why."""
    name = (element.findtext("name") or "").strip()
    if not name:
        return "name is empty", "give the object its class"
    corners = []
    for key in _CORNERS:
        text = element.findtext(f"bndbox/{key}")
        try:
            corners.append(float(text or ""))
        except ValueError:
            return f"bndbox/{key}={text!r}", "it must be a number of pixels"
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return _Object(name, tuple(corners), difficult, f"object {number}")


def _first_pixel(pages: Sequence[_Page]) -> tuple[int, list[str]]:
    """1 as in Pascal VOC; 0 where a corner is at 0, for then the set does not count from 1."""
    for page in pages:
        for obj in page.objects:
            if 0 in obj.corners[:2] and min(obj.corners) >= 0 and obj.corners[:2] != obj.corners[2:]:
                corners = ", ".join(f"{v:g}" for v in obj.corners)
                return 0, [f"corners count from 0, not from 1 as in Pascal VOC ({page.file.name}: {corners})"]
    return 1, []


def _content(pages: Sequence[_Page], names: list[str], first_pixel: int, base: Path, notes: list[str]) -> Content:
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    number_of = {name: number for number, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    problems = [problem for page in pages for problem in page.problems]
    unsized = [page.picture for page in pages if 0 in page.size]
    size_of = dict(zip(unsized, shown_sizes(unsized), strict=True))
    for image_id, page in enumerate(pages, start=1):
        width, height = page.size if 0 not in page.size else size_of[page.picture] or (0, 0)
        picture = page.picture
        name = str(picture.relative_to(base)) if picture.is_relative_to(base) else str(picture.resolve())
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for obj in page.objects:
            box = voc_to_coco(obj.corners, first_pixel)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": number_of[obj.name],
                "bbox": box, "area": box[2] * box[3], "iscrowd": int(obj.difficult),
                "origin": f"{page.file}, {obj.place}",
            })  # fmt: skip
    data = {"images": images, "annotations": annotations, "categories": categories}
    return Content(data, problems, list(notes))
