"""Faults of the lists: ids, names, classes, and how many of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.formats import Content
from .annotation_table import AnnotationTable
from .box_findings import example
from .finding import Example, Finding, finding

_RARE = 100  # how much rarer than the most frequent class is worth a word
_FIELDS = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def list_findings(table: AnnotationTable, content: Content, num_queries: int | None) -> Iterator[Finding]:
    """What is wrong with the lists of a split, boxes apart.

    Args:
        num_queries: of the network, to hold against the objects per image; None leaves that out.
    """
    yield from _reading(content)
    yield from _fields(table)
    yield from _ids(table)
    yield from _references(table)
    yield from _categories(table)
    yield from _numbers(table, num_queries)


def _if_any(name: str, examples: Sequence[Example]) -> Iterator[Finding]:
    if examples:
        yield finding(name, examples)


def _reading(content: Content) -> Iterator[Finding]:
    unread = [p for p in content.problems if not p.is_image]
    examples = [Example(p.file, p.place, f"{p.value}: {p.remedy}".lstrip(": ")) for p in unread]
    yield from _if_any("labels-unreadable", examples)
    yield from _if_any("files-unused", [Example("", "", warning) for warning in content.warnings])
    yield from _if_any("format", [Example("", "", note) for note in content.notes])


def _fields(table: AnnotationTable) -> Iterator[Finding]:
    examples = [
        Example(table.file, f"{kind}[{index}]", f"no {key!r}")
        for kind, keys in _FIELDS.items()
        for index, entry in enumerate(getattr(table, kind))
        for key in keys
        if key not in entry
    ]
    yield from _if_any("field-missing", examples)


def _ids(table: AnnotationTable) -> Iterator[Finding]:
    for kind in ("image", "category", "annotation"):
        entries = getattr(table, "categories" if kind == "category" else f"{kind}s")
        counts = Counter(entry["id"] for entry in entries if isinstance(entry.get("id"), int))
        twice = [Example(table.file, f"{kind} id {i}", f"{n} times") for i, n in counts.items() if n > 1]
        yield from _if_any(f"{kind}-ids-twice", twice)
        if kind == "annotation" and 0 in counts:
            yield finding("annotation-id-zero", [Example(table.file, "annotation id 0", "id=0")])
    ids = sorted({c["id"] for c in table.categories if isinstance(c.get("id"), int)})
    # Formats without ids of their own were numbered by the reader.
    if not ids or not _has_own_ids(table):
        return
    if ids[0] == 0:
        yield finding(
            "category-ids-zero-based", [Example(table.file, "category id 0", f"ids {ids[0]} … {ids[-1]}")]
        )
    num_gaps = ids[-1] - ids[0] + 1 - len(ids)
    if num_gaps:
        after = next(a for a, b in pairwise(ids) if b != a + 1)
        value = f"ids {ids[0]} … {ids[-1]}, the first gap after {after}"
        yield finding("category-ids-with-gaps", [Example(table.file, "categories", value)], num_gaps)


def _has_own_ids(table: AnnotationTable) -> bool:
    return not any("origin" in annotation for annotation in table.annotations[:1])


def _references(table: AnnotationTable) -> Iterator[Finding]:
    for name, key, index in (("image", "image_id", table.owner), ("category", "category_id", table.label)):
        lost = [int(i) for i in np.flatnonzero(index < 0) if key in table.annotations[i]]
        values = (f"{key}={table.annotations[i][key]!r}" for i in lost)
        yield from _if_any(
            f"{name}-unknown", [example(table, i, value) for i, value in zip(lost, values, strict=True)]
        )


def _categories(table: AnnotationTable) -> Iterator[Finding]:
    boxes = boxes_per_category(table)
    yield from _if_any("category-unused", [
        Example(table.file, f"category id {c.get('id')}", str(c.get("name")))
        for c, count in zip(table.categories, boxes, strict=True) if count == 0
    ])  # fmt: skip
    spelt: dict[str, list[Any]] = {}
    for category in table.categories:
        spelt.setdefault(str(category.get("name", id(category))).strip().casefold(), []).append(category)
    yield from _if_any("category-named-twice", [
        Example(table.file, f"category ids {', '.join(str(c.get('id')) for c in same)}",
                ", ".join(repr(c["name"]) for c in same))
        for same in spelt.values() if len(same) > 1
    ])  # fmt: skip
    most = int(boxes.max(initial=0))
    yield from _if_any("classes-unbalanced", [
        Example(table.file, f"category id {c.get('id')}", f"{c.get('name')}: {count} boxes against {most}")
        for c, count in zip(table.categories, boxes, strict=True) if 0 < count * _RARE <= most
    ])  # fmt: skip


def _numbers(table: AnnotationTable, num_queries: int | None) -> Iterator[Finding]:
    objects = objects_per_image(table)
    if num_queries is not None:
        crowded = np.flatnonzero(objects > num_queries)
        crowded = crowded[np.argsort(-objects[crowded], kind="stable")]
        values = (f"{objects[i]} objects, num_queries={num_queries}" for i in crowded)
        yield from _if_any("too-many-objects", _images(table, crowded, values))
    empty = np.flatnonzero(np.bincount(table.owner[table.owner >= 0], minlength=len(table.images)) == 0)
    yield from _if_any("images-without-boxes", _images(table, empty, ("no box" for _ in empty)))
    unsized = np.flatnonzero(~np.isfinite(table.sizes).all(axis=1))
    yield from _if_any(
        "images-without-size", _images(table, unsized, ("no width and height" for _ in unsized))
    )
    names = Counter(str(i["file_name"]) for i in table.images if "file_name" in i)
    shared = ((name, count) for name, count in names.items() if count > 1)
    examples = [Example(table.file, "images", f"{name}: {count} entries") for name, count in shared]
    yield from _if_any("images-listed-twice", examples)


def _images(table: AnnotationTable, indices: Any, values: Iterator[str]) -> list[Example]:
    return [
        Example(
            table.file, f"image id {table.images[i].get('id')}, {table.images[i].get('file_name')}", v, int(i)
        )
        for i, v in zip(indices, values, strict=True)
    ]


def boxes_per_category(table: AnnotationTable) -> np.ndarray:
    """(C,) boxes of each category."""
    return np.bincount(table.label[table.label >= 0], minlength=len(table.categories))


def objects_per_image(table: AnnotationTable) -> np.ndarray:
    """(I,) objects of each image, crowd regions and boxes without area not counted."""
    counted = (table.owner >= 0) & ~table.crowd & (table.xywh[:, 2:] > 0).all(axis=1)
    return np.bincount(table.owner[counted], minlength=len(table.images))
