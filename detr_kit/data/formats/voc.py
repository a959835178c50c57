"""Pascal VOC data sets: an XML file for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import InputError
from .boxes import voc_to_coco
from .image_files import shown_sizes
from .picture_folders import subfolders
from .split import SPLITS, Content, DataSource, Problem, Split, split_name
from .voc_lists import listed_pages, split_lists
from .voc_page import VocPage, read_page, root_name
from .voc_pictures import Pictures, find_pictures

_ROOT = "annotation"
_MOST_FOLDERS = 1000  # that are looked into at one depth: the path may be a home directory


@dataclass(frozen=True)
class _Part:
    """The pages of a folder, or of several below one, and their pictures."""

    folder: Path
    pages: list[VocPage]
    pictures: Pictures


def find_voc(path: Path, images: Path | None = None) -> DataSource | None:
    """The data set of a folder of XML files, or of a tree with such a folder; None where there is none.

    Folders are known by their content, whatever they are called: XML files whose root is <annotation>, in the
    folder or up to three deep (`Annotations/`, `annots/`, `train/annotations/`, …), and the pictures of their
    names, beside them or in a folder near them. Splits are those of ImageSets/Main/{train,val,test}.txt, or
    of folders called so. A picture is the one of the XML file's own name, else of its <filename>.

    Categories are numbered 1, 2, 3, … in the order of their names, which is VOC's own order. Objects marked
    `difficult` become crowd regions: not trained on, and neither right nor wrong in evaluation.

    Raises:
        InputError: several sets in one, no pictures, or a split that names a picture without XML file.
    """
    folders = annotation_folders(path) if path.is_dir() else []
    if not folders:
        return None
    notes: list[str] = []
    parts = {
        name: _read(name, group, images, notes) for name, group in _by_split(path, folders, notes).items()
    }
    pages = {name: part.pages for name, part in parts.items()}
    if list(parts) == ["all"]:
        pages = _listed(path, parts["all"], notes)
    everything = [page for part in parts.values() for page in part.pages]
    names = sorted({o.name for page in everything for o in page.objects})
    first_pixel = _first_pixel(everything, notes)
    splits: dict[str, Split] = {}
    for name in sorted(pages, key=("all", *SPLITS).index):
        part = parts.get(name) or parts["all"]
        read = partial(_content, pages[name], part.pictures, names, first_pixel, notes if not splits else [])
        splits[name] = Split(name, part.folder, part.pictures.folder, read)
    return DataSource("voc", path, splits)


def annotation_folders(path: Path) -> list[Path]:
    """The folders that hold XML files of Pascal VOC: itself and those up to three deep."""
    level, found = [path], []
    for _ in range(4):
        level = level[:_MOST_FOLDERS]
        found += [folder for folder in level if any(root_name(file) == _ROOT for file in _xml_files(folder))]
        level = [child for folder in level for child in subfolders(folder)]
    return found


def _xml_files(folder: Path) -> list[Path]:
    files = [p for p in folder.iterdir() if p.suffix.lower() == ".xml" and not p.name.startswith(".")]
    return sorted(files)


def _by_split(path: Path, folders: list[Path], notes: list[str]) -> dict[str, list[Path]]:
    """The folders of each split; "all" where their names say none. Folders inside another are not used.

    Raises:
        InputError: folders of several sets, or two for one split.
    """
    outer = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    notes += [
        f"{folder.relative_to(path)}/ is not used: it is inside another folder of XML files"
        for folder in folders if folder not in outer
    ]  # fmt: skip
    groups: dict[str, dict[Path, list[Path]]] = {}  # split -> the folder that is called so -> folders in it
    for folder in outer:
        parents = [folder, *folder.parents][: len(folder.relative_to(path).parts)]
        named = next((parent for parent in parents if split_name(parent.name)), None)
        name = split_name(named.name) if named else None
        whole = folder.parent if folder.name.isdigit() and folder != path else folder  # 000/, 001/: one set
        groups.setdefault(name or "all", {}).setdefault(named or whole, []).append(folder)
    for name, group in groups.items():
        shown = [f"{folder.relative_to(path)}/" for folder in group]
        if name == "all" and len(shown) + len(groups) > 2:
            other = next(f"{f.relative_to(path)}/" for f in outer if f not in group[next(iter(group))])
            raise InputError(f"{path}: XML files in {shown[0]} and in {other}: give one of these folders")
        if len(shown) > 1:
            raise InputError(
                f"{path}: {shown[1]} is the second folder of the {name} split; join it with {shown[0]}, or "
                "rename one"
            )
    return {name: [folder for part in group.values() for folder in part] for name, group in groups.items()}


def _read(name: str, folders: list[Path], images: Path | None, notes: list[str]) -> _Part:
    files = [file for folder in folders for file in _xml_files(folder)]
    others = [file for file in files if root_name(file) not in (_ROOT, "")]
    if others:
        notes.append(f"{len(others)} XML files are of another kind and not used: {others[0]}")
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(read_page, [file for file in files if file not in set(others)]))
    folder = folders[0] if len(folders) == 1 else folders[0].parent
    pictures = find_pictures(pages, folder, images, name)
    notes += pictures.notes
    return _Part(folder, [page for page in pages if page.file in pictures.paths], pictures)


def _listed(path: Path, part: _Part, notes: list[str]) -> dict[str, list[VocPage]]:
    """The pages of each split that lists name; all of them where there are no lists."""
    for root in dict.fromkeys((path, part.folder.parent)):
        lists, told = split_lists(root)
        if lists:
            page_of = {page.file.stem: page for page in part.pages}
            pages, more = listed_pages(lists, page_of, lambda page: page.file.stem)
            notes += told + more
            return pages or {"all": part.pages}
    return {"all": part.pages}


def _first_pixel(pages: Sequence[VocPage], notes: list[str]) -> int:
    """1 as in Pascal VOC; 0 where a corner is at 0, for then the set does not count from 1."""
    for page in pages:
        for obj in page.objects:
            if 0 in obj.corners[:2] and min(obj.corners) >= 0 and obj.corners[:2] != obj.corners[2:]:
                corners = ", ".join(f"{v:g}" for v in obj.corners)
                first = f"{page.file.name}: {corners}"
                notes.insert(0, f"corners count from 0, not from 1 as in Pascal VOC ({first})")
                return 0
    return 1


def _content(
    pages: Sequence[VocPage], pictures: Pictures, names: list[str], first_pixel: int, notes: list[str]
) -> Content:
    number_of = {name: number for number, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    problems: list[Problem] = [*pictures.problems, *(problem for page in pages for problem in page.problems)]
    unsized = [pictures.paths[page.file] for page in pages if 0 in page.size]
    size_of = dict(zip(unsized, shown_sizes(unsized), strict=True))
    base = pictures.folder
    for image_id, page in enumerate(pages, start=1):
        picture = pictures.paths[page.file]
        width, height = page.size if 0 not in page.size else size_of[picture] or (0, 0)
        name = str(picture.relative_to(base)) if picture.is_relative_to(base) else str(picture.resolve())
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for obj in page.objects:
            box = voc_to_coco(obj.corners, first_pixel)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": number_of[obj.name],
                "bbox": box, "area": box[2] * box[3], "iscrowd": int(obj.difficult),
                "origin": f"{page.file}, {obj.place}",
            })  # fmt: skip
    categories = [{"id": number, "name": name} for name, number in number_of.items()]
    data = {"images": images, "annotations": annotations, "categories": categories}
    return Content(data, problems, list(notes))
