"""The lists of a Pascal VOC set that say which picture is in which split."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ...errors import InputError
from ..text_file import read_text
from .split import split_name

_WORDS = "train(ing|val)?|val(id|idation)?|eval(uation)?|dev|test(ing)?"
_WHOLE = re.compile(rf"({_WORDS})[-_ ]?\d*(_list)?", re.IGNORECASE)
_FLAG = re.compile(r"\s+-?[01]$")  # whether the picture shows the class of a list

Page = TypeVar("Page")


def split_lists(root: Path) -> tuple[dict[str, Path], list[str]]:
    """The lists of the splits "train", "val" and "test" under a set's folder, and what to tell of the others.

    They are ImageSets/Main/*.txt, else ImageSets/*.txt, else *.txt of the set's folder. `trainval` stands for
    train where that is not there. A list of a single class (`dog_train.txt`) is no split.

    Raises:
        InputError: two lists for one split.
    """
    sets = _child(root, "imagesets")
    main = _child(sets, "main") if sets else None
    for folder in filter(None, (main, sets, root)):
        files = [f for f in sorted(folder.glob("*.txt")) if not f.name.startswith(".")]
        whole = [file for file in files if _WHOLE.fullmatch(file.stem)]
        if whole:
            notes = []
            if folder != root and len(files) > len(whole):
                other = next(file for file in files if file not in whole)
                notes.append(
                    f"{len(files) - len(whole)} lists of {folder.relative_to(root)} are of no split and not "
                    f"used: {other.name}"
                )
            return _by_split(whole), notes
    return {}, []


def _child(folder: Path, name: str) -> Path | None:
    return next((p for p in sorted(folder.iterdir()) if p.name.lower() == name and p.is_dir()), None)


def _by_split(files: Sequence[Path]) -> dict[str, Path]:
    both = {file.stem.lower(): file for file in files}.get("trainval")
    found: dict[str, Path] = {}
    for file in files:
        name = split_name(file.stem)
        if file == both or name is None:
            continue
        if name in found:
            both_names = f"{found[name].name} and {file.name}"
            raise InputError(f"{file.parent}: {both_names} are both {name} lists; keep one")
        found[name] = file
    if both is not None and "train" not in found:
        found["train"] = both
    return found


def listed_pages(
    lists: dict[str, Path], page_of: dict[str, Page], stem_of: Callable[[Page], str]
) -> tuple[dict[str, list[Page]], list[str]]:
    """The pages of each split, and what to tell.

    A line is a name as a whole, blanks and all, or with the picture's or XML file's folder and ending, or
    with the flag of a list of one class behind it.

    Raises:
        InputError: a line that names no page; it gives the line. A test list of which no line names one is
            left out, and said: exporters leave the list where they leave out the files.
    """
    pages: dict[str, list[Page]] = {}
    notes = []
    for name, file in lists.items():
        numbered = enumerate(read_text(file).split("\n"), start=1)
        lines = [(number, line.strip()) for number, line in numbered if line.strip()]
        found = {number: _page(line, page_of) for number, line in lines}
        missing = [(number, line) for number, line in lines if found[number] is None]
        if missing and name == "test" and len(missing) == len(lines):
            notes.append(f"{file} is not used: none of its {len(lines)} lines has an XML file")
            continue
        if missing:
            number, line = missing[0]
            raise InputError(
                f"{file}, line {number}: {line!r} has no XML file; add it or remove the line"
                + (f" ({len(missing)} such lines)" if len(missing) > 1 else "")
            )
        unique = {stem_of(page): page for page in found.values() if page is not None}
        if len(unique) < len(lines):
            notes.append(f"{file}: {len(lines) - len(unique)} lines name a picture again")
        pages[name] = list(unique.values())
    if "train" in pages and lists["train"].stem.lower() == "trainval":
        held = {stem_of(page) for page in pages.get("val", [])}
        pages["train"] = [page for page in pages["train"] if stem_of(page) not in held]
    used = {stem_of(page) for part in pages.values() for page in part}
    left = [stem for stem in page_of if stem not in used]
    if pages and left:
        notes.append(f"{len(left)} XML files are in no list and not used: {left[0]}.xml")
    return pages, notes


def _page(line: str, page_of: dict[str, Page]) -> Page | None:
    unflagged = _FLAG.sub("", line)
    paths = [unflagged, *unflagged.split()]  # "images/a.jpg annotations/a.xml" names the page twice
    names = [line, unflagged, *(text.replace("\\", "/").rpartition("/")[2] for text in paths)]
    stems = [re.sub(r"\.\w{2,5}$", "", name) for name in names[2:]]
    return next((page_of[name] for name in (*names, *stems) if name in page_of), None)
