"""Faults between splits: pictures that two of them share, and classes that do not say the same."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from .finding import WARNING, Example, Finding, finding
from .image_findings import ImageFacts
from .list_findings import boxes_per_category
from .report import SplitReport


def overlaps(reports: Sequence[SplitReport], facts: Sequence[dict[int, ImageFacts]]) -> Iterator[Finding]:
    """Pictures that two splits share: by their path, and by their content where both were read.

    Those without a box in either, black ones for example, teach nothing that could be measured: a warning.
    """
    indexed = [_by_key(report, seen) for report, seen in zip(reports, facts, strict=True)]
    boxed = [np.bincount(r.table.owner[r.table.faults == 0], minlength=len(r.paths)) > 0 for r in reports]
    for a, b in combinations(range(len(reports)), 2):
        twins: dict[int, set[int]] = defaultdict(set)  # of an image of b: those of a
        for key, indices in indexed[b].items():
            for index in indices if key in indexed[a] else ():
                twins[index].update(indexed[a][key])
        examples: dict[bool, list[Example]] = {True: [], False: []}
        for index, others in sorted(twins.items()):
            has_box = bool(boxed[b][index] or boxed[a][list(others)].any())
            value = f"also in {reports[a].name} as {reports[a].paths[min(others)].name}"
            examples[has_box].append(Example(str(reports[b].paths[index]), reports[b].name, value))
        if examples[True]:
            yield finding("overlap", examples[True])
        if examples[False]:
            yield finding("overlap", examples[False], verdict=WARNING)


def _by_key(report: SplitReport, seen: dict[int, ImageFacts]) -> dict[bytes, list[int]]:
    """The images of a split by their path, and by their content."""
    keys: dict[bytes, list[int]] = defaultdict(list)
    for index, path in enumerate(report.paths):
        if report.table.file_names[index]:
            keys[os.fsencode(path.absolute())].append(index)
        if index in seen and seen[index].digest:
            keys[seen[index].digest].append(index)
    return keys


def different_classes(reports: Sequence[SplitReport]) -> Iterator[Finding]:
    """Splits whose classes are not the first's: matched by name, and an error where that has no such name."""
    if not reports:
        return
    first = reports[0]
    known = _names(first)
    unknown, others = [], []
    for report in reports[1:]:
        names, boxes = _names(report), boxes_per_category(report.table)
        strange = [name for name, count in zip(names, boxes, strict=True) if count and name not in known]
        if strange:
            value = f"has {_some(strange)}, which {first.name} lacks (it has {_some(known)})"
            unknown.append(Example(report.source, report.name, value))
        elif names != known:
            lacking = [name for name in known if name not in names]
            more = [name for name in names if name not in known]
            value = f"lacks {_some(lacking)}" if lacking else "has them in another order"
            value = f"lists {_some(more)} besides, without a box" if more and not lacking else value
            others.append(Example(report.source, report.name, f"{value}, against {first.name}"))
    if unknown:
        yield finding("categories-differ", unknown)
    if others:
        yield finding("categories-matched", others)


def _names(report: SplitReport) -> list[str]:
    """Class names in the order of their ids, which is that of the labels."""
    ordered = sorted(report.table.categories, key=lambda c: c["id"] if isinstance(c.get("id"), int) else -1)
    return [str(category.get("name")) for category in ordered]


def _some(names: Sequence[str], count: int = 6) -> str:
    return ", ".join(names[:count]) + (f", … ({len(names)})" if len(names) > count else "")
