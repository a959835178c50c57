"""The lists of a COCO file as arrays, and what in them cannot be used: one judgement for everybody.

The check shows it, training and the metric leave out the same annotations, and all refuse the same files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..categories import UNUSED, class_name
from ..errors import InputError
from .file_numbers import fours, number, numbers, truth, whole_numbers
from .segmentation_box import box_of_segmentation

MAX_LEFT_OUT = 0.01
"""The share of a split's annotations from which on those that cannot be used are no slip any more."""

FAULTS: dict[str, tuple[str, str]] = {
    "": ("", ""),
    "image-unknown": ("image_id", "no image has this id; add or remove it"),
    "category-unknown": ("category_id", "no category has this id; add or remove it"),
    "box-malformed": ("bbox", "it must be [x, y, width, height]"),
    "box-nan": ("bbox", "not finite; correct or remove the box"),
    "box-negative": ("bbox", "negative size; correct or remove the box"),
    "box-zero-area": ("bbox", "no area; correct or remove the box"),
    "box-outside": ("bbox", "outside its picture; correct or remove the box"),
    "crowd-malformed": ("iscrowd", "it must be 0 or 1"),
}
"""Why one annotation is left out: the field and the remedy. Its position is the code in `faults`."""

_CODE = {name: code for code, name in enumerate(FAULTS)}
_FARTHEST = 1e8  # pixels: beyond is no place in a picture, and more than float32 can tell apart
_LONGEST_SIDE = 2**31 - 1


@dataclass(frozen=True)
class ListProblem:
    """An image or category entry that makes the whole file unusable.

    Attributes:
        kind: the finding's name; place: the entry; value: what stands there; remedy: what to do.
    """

    kind: str
    place: str
    value: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.value}; {self.remedy}"


@dataclass(frozen=True)
class AnnotationTable:
    """The annotations of a split, faulty ones included.

    Attributes:
        file: for messages.
        images: the entries, each image once; annotations: all entries; both as they stand in the file.
        categories: the entries, ids made integers and names made text, each category once.
        image_ids: of each image, None where `problems` has it; file_names: "" where there is none.
        sizes: (I, 2) float64 (width, height), NaN where unknown. The check fills in what pictures show.
        owner: (A,) index of the image, −1 for none; label: (A,) index of the category, −1 for none.
        xywh: (A, 4) float64, NaN where a box is not four numbers; is_box: (A,) where it is.
        crowd: (A,) bool; crowd_known: (A,) whether the file says so readably.
        area: (A,) float64, NaN where the file gives none that can be.
        area_replaced: (A,) bool, where it gives one that cannot be: 0, NaN, a word.
        from_segmentation: (A,) bool, where the box is the one around a polygon or mask.
        repeated: entries that say again what an earlier one said.
        problems: what makes the file unusable.
    """

    file: str
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    image_ids: list[int | None]
    file_names: list[str]
    sizes: np.ndarray
    owner: np.ndarray
    label: np.ndarray
    xywh: np.ndarray
    is_box: np.ndarray
    crowd: np.ndarray
    crowd_known: np.ndarray
    area: np.ndarray
    area_replaced: np.ndarray
    from_segmentation: np.ndarray
    repeated: list[str]
    problems: list[ListProblem]

    @cached_property
    def has_size(self) -> np.ndarray:
        """(A,) boxes of a known image whose size is known."""
        known = np.isfinite(self.sizes).all(axis=1)
        return (self.owner >= 0) & np.append(known, False)[self.owner]

    @cached_property
    def canvas(self) -> np.ndarray:
        """(A, 2) width and height of each box's image, NaN where unknown."""
        return np.vstack((self.sizes, [np.nan, np.nan]))[self.owner]

    @cached_property
    def corners(self) -> np.ndarray:
        """(A, 4) float32 xyxy in pixels inside the image: what training sees."""
        limit = np.where(np.isnan(self.canvas), np.inf, self.canvas)[:, [0, 1, 0, 1]]
        with np.errstate(invalid="ignore", over="ignore"):
            xyxy = np.concatenate((self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]), axis=1)
            return np.clip(xyxy, 0, limit).astype(np.float32)

    @cached_property
    def faults(self) -> np.ndarray:
        """(A,) the code of each annotation's worst fault, as FAULTS counts them; 0 for none."""
        with np.errstate(invalid="ignore", over="ignore"):
            finite = (np.abs(self.xywh) < _FARTHEST).all(axis=1)
            size, end = self.xywh[:, 2:], self.xywh[:, :2] + self.xywh[:, 2:]
            outside = (end <= 0).any(axis=1) | (self.xywh[:, :2] >= self.canvas).any(axis=1)
            found = {
                "image-unknown": self.owner < 0,
                "category-unknown": self.label < 0,
                "box-malformed": ~self.is_box,
                "box-nan": ~finite,
                "box-negative": (size < 0).any(axis=1),
                "box-zero-area": (size == 0).any(axis=1),
                "box-outside": outside,
                "crowd-malformed": ~self.crowd_known,
            }
            thin = (self.corners[:, 2:] <= self.corners[:, :2]).any(axis=1)
        codes = np.zeros(len(self.annotations), dtype=np.int8)
        codes[thin] = _CODE["box-zero-area"]  # nothing is left of it inside the picture
        for name, where in reversed(found.items()):
            codes[where] = _CODE[name]
        return codes

    @property
    def is_object(self) -> np.ndarray:
        """(A,) what training learns from: without fault, and no crowd region."""
        return (self.faults == 0) & ~self.crowd

    def with_fault(self, name: str) -> np.ndarray:
        """(A,) the annotations that are left out for it."""
        return self.faults == _CODE[name]

    def left_out(self) -> dict[str, int]:
        """How many annotations have each fault."""
        counts = np.bincount(self.faults, minlength=len(FAULTS))
        return {name: int(counts[code]) for name, code in _CODE.items() if name and counts[code]}

    def describe(self, index: int) -> str:
        """What is wrong with an annotation, where, and what to do."""
        entry, (field, remedy) = self.annotations[index], list(FAULTS.values())[self.faults[index]]
        origin = f"{entry['origin']}: " if "origin" in entry else ""
        if field not in entry:
            return f"{origin}annotations[{index}] has no {field!r}: {str(entry)[:200]}"
        return f"{origin}annotation id {entry.get('id', '?')}: {field}={str(entry[field])[:200]}: {remedy}"

    def to_coco(self) -> dict[str, Any]:
        """The lists as COCO's format has them, without what cannot be used; annotations numbered from 1.

        Where the file has no area that can be, it is the box's width × height.
        """
        rows = np.flatnonzero(self.faults == 0)
        boxes, area = self.xywh[rows], self.area[rows]
        area = np.where(np.isnan(area), boxes[:, 2] * boxes[:, 3], area)
        columns = (rows, self.owner[rows], self.label[rows], boxes, area, self.crowd[rows])
        annotations = [
            {
                **self.annotations[row],
                "id": number_,
                "image_id": self.image_ids[owner],
                "category_id": self.categories[label]["id"],
                "bbox": box,
                "area": size,
                "iscrowd": int(crowd),
            }
            for number_, (row, owner, label, box, size, crowd) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True), start=1
            )
        ]
        images = [
            {**image, "id": number_, "file_name": name}
            for image, number_, name in zip(self.images, self.image_ids, self.file_names, strict=True)
        ]
        return {"images": images, "annotations": annotations, "categories": self.categories}

    def refuse(self, max_left_out: float = MAX_LEFT_OUT) -> None:
        """Stop at what makes the file unusable.

        Args:
            max_left_out: the share of annotations that may be left out; 0 for none, 1 for any.

        Raises:
            InputError: an entry of the images or categories is wrong, or too many annotations are; it names
                the first and says how many there are.
        """
        if self.problems:
            more = f" ({len(self.problems)} such entries)" if len(self.problems) > 1 else ""
            raise InputError(f"{self.file}: {self.problems[0]}{more}")
        bad = np.flatnonzero(self.faults)
        if too_many(len(bad), len(self.annotations), max_left_out):
            raise InputError(
                f"{self.file}: {self.describe(int(bad[0]))} ({len(bad)} of {len(self.annotations)} "
                "annotations cannot be used; `detr-kit check` lists them)"
            )


def too_many(bad: int, total: int, max_left_out: float = MAX_LEFT_OUT) -> bool:
    """Whether what has to be left out is more than a slip: a single one is, unless it is all there is."""
    if bad == 0 or max_left_out >= 1:
        return False
    return max_left_out == 0 or bad == total or (bad > 1 and bad >= max_left_out * total)


def annotation_table(file: str, data: Mapping[str, Any]) -> AnnotationTable:
    """Pack the lists of a COCO file, each a list of objects.

    Ids and numbers may stand there as text ("1") or with a point (1.0), marks as text or true and false. An
    entry that repeats the id and the name of an earlier one says nothing new. Where a box is absent, it is
    taken from the segmentation; where the area cannot be, it is left to the box.
    """
    problems: list[ListProblem] = []
    repeated: list[str] = []
    images, image_ids, file_names = _entries(data["images"], "images", "file_name", problems, repeated)
    categories, category_ids, names = _entries(data["categories"], "categories", "name", problems, repeated)
    annotations = data["annotations"]
    raw, from_segmentation = _raw_boxes(annotations)
    xywh, is_box = fours(raw)
    crowd, crowd_known = _crowd([annotation.get("iscrowd") for annotation in annotations])
    area, area_replaced = _areas([annotation.get("area") for annotation in annotations])
    return AnnotationTable(
        file=file,
        images=images,
        annotations=annotations,
        categories=[_named(*parts) for parts in zip(categories, category_ids, names, strict=True)],
        image_ids=image_ids,
        file_names=file_names,
        sizes=_sizes(images, problems),
        owner=_indices(annotations, "image_id", image_ids),
        label=_indices(annotations, "category_id", category_ids),
        xywh=xywh,
        is_box=is_box,
        crowd=crowd,
        crowd_known=crowd_known,
        area=area,
        area_replaced=area_replaced,
        from_segmentation=from_segmentation & is_box,
        repeated=repeated,
        problems=problems,
    )


def _entries(
    listed: Sequence[dict[str, Any]], kind: str, key: str, problems: list[ListProblem], repeated: list[str]
) -> tuple[list[dict[str, Any]], list[int | None], list[str]]:
    """The images or categories without repetitions, their ids, and their file names or names."""
    ids = whole_numbers([entry.get("id") for entry in listed])
    texts = [_file_name(entry.get(key)) if kind == "images" else _name(entry.get(key)) for entry in listed]
    kept: list[int] = []
    first: dict[int, int] = {}
    clashing: dict[int, int] = {}
    for index, (number_, text) in enumerate(zip(ids, texts, strict=True)):
        place, entry = f"{kind}[{index}]", listed[index]
        if number_ is None and "id" in entry:
            value = f"id={str(entry['id'])[:100]!r} is not an integer"
            problems.append(ListProblem("ids-malformed", place, value, f"number the {kind} 1, 2, 3, …"))
        for field, found in (("id", number_), (key, text)):
            if found is None and (field != "id" or "id" not in entry):
                value = f"{field}={str(entry[field])[:100]!r}" if field in entry else f"no {field!r}"
                problems.append(ListProblem("field-missing", place, value, "write it, or remove the entry"))
        if kind == "categories" and text == UNUSED:
            value = f"a category is named {UNUSED!r}, which stands for no category"
            problems.append(ListProblem("category-name-reserved", place, value, "rename it"))
        if number_ is not None and number_ in first:
            if texts[first[number_]] == text:
                repeated.append(f"{place}: id={number_}, {text}")
                continue
            clashing[number_] = clashing.get(number_, 1) + 1
        elif number_ is not None:
            first[number_] = index
        kept.append(index)
    twice = "image-ids-twice" if kind == "images" else "category-ids-twice"
    problems += [
        ListProblem(twice, kind, f"id={number_} is given {_times(count)}", "ids must be unique")
        for number_, count in clashing.items()
    ]
    return [listed[i] for i in kept], [ids[i] for i in kept], [texts[i] or "" for i in kept]


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


def _named(entry: dict[str, Any], number_: int | None, name: str) -> dict[str, Any]:
    return {**entry, **({} if number_ is None else {"id": number_}), **({"name": name} if name else {})}


def _file_name(value: Any) -> str | None:
    """A text that can name a file."""
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return None
    return value


def _name(value: Any) -> str | None:
    """A class name as text that every terminal and file takes; numbers are names too."""
    if value is None or isinstance(value, list | dict) or not str(value).strip():
        return None
    return class_name(str(value).encode("utf-8", "replace").decode()) or None


def _sizes(images: Sequence[Mapping[str, Any]], problems: list[ListProblem]) -> np.ndarray:
    sizes = np.full((len(images), 2), np.nan)
    for index, image in enumerate(images):
        for axis, key in enumerate(("width", "height")):
            value = image.get(key) or 0  # programs write 0, null or nothing where they do not know
            side = number(value)
            if side is None or not 0 <= side <= _LONGEST_SIDE:
                place = f"image id {image.get('id', '?')}"
                text = str(value)[:100]
                shown = f"{key}={text!r}" if isinstance(value, str) else f"{key}={text}"
                problems.append(
                    ListProblem("image-size-malformed", place, shown, "it must be a number of pixels")
                )
            elif side >= 1:
                sizes[index, axis] = int(side)
    return sizes


def _indices(annotations: Sequence[Mapping[str, Any]], key: str, ids: Sequence[int | None]) -> np.ndarray:
    """(A,) which image or category each annotation names, −1 for none."""
    index_of = {number_: index for index, number_ in reversed(list(enumerate(ids))) if number_ is not None}
    named = whole_numbers([annotation.get(key) for annotation in annotations])
    return np.fromiter((index_of.get(n, -1) if n is not None else -1 for n in named), np.int64, len(named))


def _raw_boxes(annotations: Sequence[Mapping[str, Any]]) -> tuple[list[Any], np.ndarray]:
    """The boxes as they stand, those of a segmentation where there is none, and which these are."""
    raw = [annotation.get("bbox") for annotation in annotations]
    absent = [
        i for i, box in enumerate(raw) if (box is None or box == []) and annotations[i].get("segmentation")
    ]
    taken = np.zeros(len(raw), dtype=bool)
    for index in absent:
        raw[index] = box_of_segmentation(annotations[index]["segmentation"])
        taken[index] = raw[index] is not None
    return raw, taken


def _crowd(values: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    if set(map(type, values)) <= {int, bool, type(None)}:
        return np.array(values, dtype=object).astype(bool).reshape(-1), np.ones(len(values), dtype=bool)
    found = [truth(value) for value in values]
    return np.array([bool(v) for v in found]), np.array([v is not None for v in found])


def _areas(values: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    area = numbers(values)
    usable = np.isfinite(area) & (area > 0)
    given = np.fromiter((value is not None for value in values), bool, len(values))
    return np.where(usable, area, np.nan), given & ~usable
