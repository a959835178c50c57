"""The pictures of Pascal VOC's XML files: found by content, whatever their folder is called."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ..file_names import Matches, match_names
from .image_files import is_image
from .picture_folders import best_folder, picture_folders
from .split import Problem
from .voc_page import VocPage


@dataclass(frozen=True)
class Pictures:
    """The picture of each XML file.

    Attributes:
        folder: that holds them all; paths: by XML file, also of a picture that is not there.
        problems: files that share a picture, which are not in `paths`; notes: for people.
    """

    folder: Path
    paths: dict[Path, Path]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_pictures(pages: Sequence[VocPage], here: Path, images: Path | None, split: str) -> Pictures:
    """Find the picture of each page: that of the file's own name, else that of its <filename>.

    Args:
        here: the folder of the XML files; images: of the pictures, None to look for it near.
        split: "train", "val", "test" or "all": folders of another split are passed over.

    Raises:
        InputError: no folder near has a picture of these names.
    """
    folder = images or _folder(pages, here, split)
    own = match_names(folder, (page.file.stem for page in pages))
    stated = match_names(folder, (page.stated for page in pages if page.stated))
    by_stem = match_names(folder, (Path(page.stated).stem for page in pages if page.stated))
    result = Pictures(folder, {})
    taken: dict[Path, Path] = {}
    disagree, spelt = [], []
    for page in pages:
        picture = _own(page, own, stated)
        named = stated.paths.get(page.stated)
        if picture is not None and named is not None and named != picture:
            disagree.append(f"{page.file.name} says {page.stated}")
        picture = picture or named or by_stem.paths.get(Path(page.stated).stem)
        if picture is None and page.file.stem in own.ambiguous:
            remedy = "it may be of any of these; name the picture in <filename>, or rename one"
            several = " or ".join(own.ambiguous[page.file.stem][:3])
            result.problems.append(Problem(str(page.file), "", several, remedy))
        first = taken.setdefault(picture, page.file) if picture is not None else page.file
        if first != page.file:
            remedy = (
                f"{first.name} is of the same picture, {picture.name if picture else ''}; merge or remove one"
            )
            result.problems.append(Problem(str(page.file), "", f"<filename> {page.stated!r}", remedy))
            continue
        if picture is not None and picture.stem != page.file.stem and picture.name != page.stated:
            spelt.append(f"{page.file.name} is of {picture.name}")
        result.paths[page.file] = picture or folder / (page.stated or f"{page.file.stem}.jpg")
    result.notes.extend(_notes(disagree, spelt, _without_page(folder, taken)))
    return result


def _own(page: VocPage, own: Matches, stated: Matches) -> Path | None:
    """The picture of the file's own name; where several differ in their type only, the stated one of them."""
    if page.file.stem in own.paths:
        return own.paths[page.file.stem]
    several = own.ambiguous.get(page.file.stem, [])
    named = stated.paths.get(page.stated)
    return named if named is not None and named in [own.folder / file for file in several] else None


def _folder(pages: Sequence[VocPage], here: Path, split: str) -> Path:
    wanted = {stem.lower() for page in pages for stem in (page.file.stem, Path(page.stated).stem) if stem}
    listed: dict[Path, set[str]] = {}

    def hits(folder: Path) -> int:
        stems = {p.stem.lower() for p in folder.iterdir() if is_image(p) and not p.name.startswith(".")}
        listed[folder] = stems & wanted
        return len(listed[folder])

    groups = picture_folders(here, here.name if split == "all" else split)
    best = best_folder(groups, hits)
    if best is None:
        near = ", ".join(str(folder) for group in groups for folder in group[:2])
        raise InputError(
            f"{here}: XML files without pictures: none of their names (first {pages[0].file.stem!r}) is a "
            f"picture's in {near}, …; give the folder of the pictures with --images"
        )
    # Pictures of one list of XML files may be spread over folders: images/train, images/val.
    beside = [
        folder for folder in listed if folder.parent == best.parent and not listed[folder] <= listed[best]
    ]
    return best.parent if beside and best != here else best


def _without_page(folder: Path, taken: Container[Path]) -> list[str]:
    names = sorted(p.name for p in folder.iterdir() if is_image(p) and p not in taken)
    return [name for name in names if not name.startswith(".")]


def _notes(disagree: Sequence[str], spelt: Sequence[str], without: Sequence[str]) -> Iterable[str]:
    if disagree:
        yield (
            f"{len(disagree)} XML files are not called as the picture that they name, though both are there; "
            f"the picture of the file's own name is taken: {disagree[0]}"
        )
    if spelt:
        yield f"{len(spelt)} pictures are spelt otherwise than their XML files say: {spelt[0]}"
    if without:
        yield f"{len(without)} pictures have no XML file and are left out: {without[0]}"
