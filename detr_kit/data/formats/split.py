"""What every reader of a format gives: splits in COCO form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError

SPLITS = ("train", "val", "test")


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

    def refuse_problems(self) -> dict[str, Any]:
        """The data, where all of it could be read.

        Raises:
            InputError: names the first problem and says how many there are.
        """
        if self.problems:
            more = f" ({len(self.problems)} such places; `detr-kit check` lists them)"
            raise InputError(f"{self.problems[0]}{more if len(self.problems) > 1 else ''}")
        return self.data


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


def split_name(text: str) -> str | None:
    """One of SPLITS, as the first word of a file or folder name that means one, else None ("latest" is no test)."""
    found = _WORD.search(text.lower())
    return _MEANING[found[1]] if found else None


_MEANING = {"train": "train", "val": "val", "eval": "val", "dev": "val", "test": "test"}
_ENDINGS = "ing|id|idation|idate|uation|uate|val|dev|sets?|data|split|images?|imgs?|labels?|annotations?"
# A word begins after anything but a letter and ends before it: valid_2, instances_train2017, test-images.
_WORD = re.compile(rf"(?<![a-z])({'|'.join(_MEANING)})(?:{_ENDINGS})?(?![a-z])")
