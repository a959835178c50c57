"""Faults of the lists: ids, names, classes, and how many of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.annotation_table import AnnotationTable
from ..data.file_numbers import whole_numbers
from ..data.formats import Content, Problem
from .finding import Example, Finding, finding

_RARE = 100  # how much rarer than the most frequent class is worth a word


def list_findings(
    table: AnnotationTable, content: Content, num_queries: int | None, verdict: str, is_trained: bool
) -> Iterator[Finding]:
    """What is wrong with the lists of a split, boxes apart.

    Args:
        num_queries: of the network, to hold against the objects per image; None leaves that out.
        verdict: on lines that have to be left out, as many as there are.
        is_trained: whether the split is one to learn from.
    """
    yield from _reading(content, verdict)
    yield from _problems(table)
    yield from _ids(table)
    yield from _categories(table, is_trained)
    yield from _objects(table, is_trained)
    yield from _numbers(table, num_queries)


def _if_any(name: str, examples: Sequence[Example]) -> Iterator[Finding]:
    if examples:
        yield finding(name, examples)


def _reading(content: Content, verdict: str) -> Iterator[Finding]:
    files = [_problem(p) for p in content.problems if not p.is_image and not p.is_line]
    lines = [_problem(p) for p in content.problems if p.is_line]
    yield from _if_any("files-unreadable", files)
    if lines:
        yield finding("labels-unreadable", lines, verdict=verdict)
    yield from _if_any("files-unused", [Example("", "", warning) for warning in content.warnings])
    yield from _if_any("format", [Example("", "", note) for note in content.notes])


def _problem(problem: Problem) -> Example:
    return Example(problem.file, problem.place, f"{problem.value}: {problem.remedy}".lstrip(": "))


def _problems(table: AnnotationTable) -> Iterator[Finding]:
    """What makes the file unusable, kind by kind."""
    kinds: dict[str, list[Example]] = {}
    for problem in table.problems:
        kinds.setdefault(problem.kind, []).append(Example(table.file, problem.place, problem.value))
    for kind, examples in kinds.items():
        yield finding(kind, examples)


def _ids(table: AnnotationTable) -> Iterator[Finding]:
    counts = Counter(n for n in whole_numbers([a.get("id") for a in table.annotations]) if n is not None)
    twice = [Example(table.file, f"annotation id {i}", f"{n} times") for i, n in counts.items() if n > 1]
    yield from _if_any("annotation-ids-twice", twice)
    if 0 in counts:
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


def _categories(table: AnnotationTable, is_trained: bool) -> Iterator[Finding]:
    boxes = boxes_per_category(table)
    unused = [
        Example(table.file, f"category id {c.get('id')}", str(c.get("name")))
        for c, count in zip(table.categories, boxes, strict=True)
        if count == 0
    ]
    yield from _if_any("category-unused" if is_trained else "category-unmeasured", unused)
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


def _objects(table: AnnotationTable, is_trained: bool) -> Iterator[Finding]:
    if not table.images:
        yield finding("no-images", [Example(table.file, "images", "the list is empty")])
    elif not table.is_object.any():
        crowd = int(((table.faults == 0) & table.crowd).sum())
        value = (
            f"all {crowd} usable boxes are crowd regions or difficult" if crowd else "no usable box at all"
        )
        name = "nothing-to-learn" if is_trained else "nothing-to-measure"
        yield finding(name, [Example(table.file, "annotations", value)])


def _numbers(table: AnnotationTable, num_queries: int | None) -> Iterator[Finding]:
    objects = objects_per_image(table)
    if num_queries is not None:
        crowded = np.flatnonzero(objects > num_queries)
        crowded = crowded[np.argsort(-objects[crowded], kind="stable")]
        values = (f"{objects[i]} objects, num_queries={num_queries}" for i in crowded)
        yield from _if_any("too-many-objects", _images(table, crowded, values))
    usable = table.owner[table.faults == 0]
    empty = np.flatnonzero(np.bincount(usable, minlength=len(table.images)) == 0)
    yield from _if_any("images-without-boxes", _images(table, empty, ("no box" for _ in empty)))
    unsized = np.flatnonzero(~np.isfinite(table.sizes).all(axis=1))
    yield from _if_any(
        "images-without-size", _images(table, unsized, ("no width and height" for _ in unsized))
    )
    yield from _if_any("entries-repeated", [Example(table.file, "", entry) for entry in table.repeated])
    names = Counter(name for name in table.file_names if name)
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
    """(I,) objects of each image, crowd regions and what cannot be used not counted."""
    return np.bincount(table.owner[table.is_object], minlength=len(table.images))
