"""What every reader of a format gives: splits in COCO form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..annotation_table import MAX_LEFT_OUT, annotation_table, too_many

SPLITS = ("train", "val", "test")
_TO_MEASURE_ON = ("test", "val", "all", "train")


@dataclass(frozen=True)
class Problem:
    """A line or element that a reader cannot make an annotation of.

    Attributes:
        file: where; place: the line or element in it, "" for the file as a whole; value: what stands there.
        remedy: what is wrong and what to do.
        is_image: the picture itself is the problem, not what is written about it.
    """

    file: str
    place: str
    value: str
    remedy: str
    is_image: bool = False

    @property
    def is_line(self) -> bool:
        """A part of a file: what else stands there can be used without it."""
        return bool(self.place) and not self.is_image

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return f"{where}: {self.value}: {self.remedy}" if self.value else f"{where}: {self.remedy}"


@dataclass(frozen=True)
class Content:
    """A split in COCO form.

    Attributes:
        data: "images", "annotations" and "categories" as in a COCO file; file names are relative to the
            split's image folder. Annotations of other formats say under "origin" where they were read.
        problems: what could not be read.
        notes: what a reader had to decide, for people.
        warnings: what is there and was left out, or is named and not there.
    """

    data: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse_problems(self, file: str | Path = "", max_left_out: float = MAX_LEFT_OUT) -> dict[str, Any]:
        """The data as COCO's format has it, without what cannot be used; a note tells of that.

        Args:
            file: where the data is from, for messages.
            max_left_out: the share of annotations that may be left out; see `annotation_table.too_many`.

        Raises:
            InputError: a file or picture cannot be read, or too many annotations cannot be used
                (`annotation_table.too_many`); it names the first and says how many there are.
        """
        lines = [problem for problem in self.problems if problem.is_line]
        others = [problem for problem in self.problems if not problem.is_line]
        if others:
            more = f" ({len(others)} such places; `detr-kit check` lists them)"
            raise InputError(f"{others[0]}{more if len(others) > 1 else ''}")
        table = annotation_table(str(file) or "annotations", self.data)
        table.refuse(max_left_out=1)
        bad = np.flatnonzero(table.faults)
        count, total = len(bad) + len(lines), len(table.annotations) + len(lines)
        first = str(lines[0]) if lines else f"{table.file}: {table.describe(int(bad[0]))}" if count else ""
        if too_many(count, total, max_left_out):
            raise InputError(
                f"{first} ({count} of {total} annotations cannot be used; `detr-kit check` lists them)"
            )
        if count:
            self.notes.append(
                f"{count} of {total} annotations cannot be used and are left out, the first: {first}"
            )
        return table.to_coco()


@dataclass(frozen=True)
class Split:
    """One part of a data set: "train", "val", "test", or "all" where a set is not divided.

    Attributes:
        source: the annotation file or folder; images: the folder that file names are relative to.
        read: gives the content; a large file is not read before it is needed.
    """

    name: str
    source: Path
    images: Path
    read: Callable[[], Content]


@dataclass(frozen=True)
class DataSource:
    """A data set found at a path.

    Attributes:
        format: "coco", "voc" or "yolo".
        path: as the user gave it.
        splits: by name.
    """

    format: str
    path: Path
    splits: dict[str, Split]

    def split_to_measure(self, name: str | None) -> Split:
        """The named split; by default the first of test, val, the whole set, train that there is.

        Raises:
            InputError: no such split.
        """
        if name is None:
            return next(self.splits[name] for name in _TO_MEASURE_ON if name in self.splits)
        if name not in self.splits:
            raise InputError(f"--split {name}: {self.path} has {', '.join(self.splits)}")
        return self.splits[name]


def split_name(text: str) -> str | None:
    """One of SPLITS, as the first word of a file or folder name that means one, else None.

    "latest" is no test.
    """
    found = _WORD.search(text.lower())
    return _MEANING[found[1]] if found else None


_MEANING = {"train": "train", "val": "val", "eval": "val", "dev": "val", "test": "test"}
_ENDINGS = "ing|id|idation|idate|uation|uate|val|dev|sets?|data|split|images?|imgs?|labels?|annotations?"
# A word begins after anything but a letter and ends before it: valid_2, instances_train2017, test-images.
_WORD = re.compile(rf"(?<![a-z])({'|'.join(_MEANING)})(?:{_ENDINGS})?(?![a-z])")
