"""The folders around annotations that may hold their pictures, the usual places first."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from .split import split_name

_USUAL = ("images", "jpegimages", "image", "imgs", "img", "pictures", "pics", "photos", "data")
_OF_ANNOTATIONS = re.compile("annot|label|json|xml|^gt$", re.IGNORECASE)
_MOST = 300  # beside a set in a home directory there may be thousands


def picture_folders(here: Path, split: str = "") -> list[list[Path]]:
    """Folders that may hold the pictures of annotations in a folder, whatever they are called.

    In groups, for what lies nearer is not to be outdone by a neighbour: the folder itself and what is in it,
    two deep; then its parent and what is beside it; then, of `annotations/train`, what is beside
    `annotations`. Beside a folder that is not called as one of annotations
    only those of usual names count: others belong to other data sets. Folders of another split do not count.

    Args:
        here: the folder of the annotations.
        split: what it is called, "train2017"; folders of that name come first.
    """
    within = [here, *_two_deep(here)]
    beside = [folder for folder in _two_deep(here.parent) if not folder.is_relative_to(here)]
    if not is_of_annotations(here):
        beside = [f for f in beside if _names(f, here.parent)[0] in (*_USUAL, split.lower())]
    places = [(here, within), (here.parent, [*beside, here.parent])]
    if split_name(here.name) and is_of_annotations(here.parent):
        places.append((here.parent.parent, list(_two_deep(here.parent.parent))))
    groups = []
    for base, folders in places:
        fitting = [folder for folder in folders if not _is_of_another_split(_names(folder, base), split)]
        groups.append(sorted(fitting, key=lambda f, base=base: _rank(_names(f, base), split)))  # type: ignore[misc]
    return [group[:_MOST] for group in groups]


def best_folder(groups: list[list[Path]], hits: Callable[[Path], int]) -> Path | None:
    """The first of the folders with the most hits, of the first group that has any."""
    for group in groups:
        counts = [hits(folder) for folder in group]
        if max(counts, default=0) > 0:
            return group[counts.index(max(counts))]
    return None


def is_of_annotations(folder: Path) -> bool:
    """Whether a folder is called as one of annotations."""
    return _OF_ANNOTATIONS.search(folder.name) is not None


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, in order, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    except OSError:
        return []
    return [folder / name for name in names[:_MOST]]


def _two_deep(folder: Path) -> Iterator[Path]:
    for child in subfolders(folder):
        yield child
        yield from subfolders(child)


def _names(folder: Path, base: Path) -> tuple[str, ...]:
    return tuple(part.lower() for part in folder.relative_to(base).parts)


def _rank(names: tuple[str, ...], split: str) -> tuple[int, int, int]:
    usual = min((_USUAL.index(name) for name in names if name in _USUAL), default=len(_USUAL))
    own = split_name(split)
    is_same = own is not None and any(split_name(name) == own for name in names)
    return (0 if split and split.lower() in names else 1 if is_same else 2), usual, len(names)


def _is_of_another_split(names: tuple[str, ...], split: str) -> bool:
    own = split_name(split)
    return own is not None and any(split_name(name) not in (own, None) for name in names)
