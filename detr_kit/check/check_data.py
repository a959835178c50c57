"""The check itself: each split's annotations, its pictures once, and the splits against each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..data.formats import Content, Split
from .annotation_table import AnnotationTable, annotation_table
from .box_findings import box_findings
from .finding import VERDICTS, Example, Finding, finding
from .image_findings import ImageFacts, examine_images, image_findings, image_paths, missing_images
from .list_findings import list_findings
from .report import Report, SplitReport
from .statistics import describe


def check_data(
    splits: Sequence[Split],
    *,
    num_queries: int | None = None,
    read_images: bool | int = True,
    progress: Console | None = None,
) -> Report:
    """Check a data set.

    Args:
        splits: of `find_data`, or of a config.
        num_queries: of the network, to hold against the objects per image.
        read_images: True reads every picture; a number that many of each split, evenly spread; False none,
            and then only whether they are there is looked at, where the folder exists.
        progress: the console for a progress bar, None for none.

    Raises:
        InputError: an annotation file that cannot be read at all.
    """
    reports: list[SplitReport] = []
    facts: list[dict[int, ImageFacts]] = []
    for split in splits:
        content = split.read()
        table = annotation_table(str(split.source), content)
        paths = image_paths(table, split.images)
        seen = _read(table, paths, read_images, split.name, progress)
        facts.append(seen)
        _fill_sizes(table, seen)
        findings = [*list_findings(table, content, num_queries), *box_findings(table)]
        findings += _pictures(content, table, paths, seen, split.images)
        findings.sort(key=lambda found: VERDICTS.index(found.verdict))
        source = str(split.source)
        reports.append(SplitReport(split.name, source, findings, describe(table), len(seen), table, paths))
    between = [*_overlaps(reports, facts), *_different_classes(reports)]
    return Report(reports, between, num_queries)


def _read(
    table: AnnotationTable, paths: list[Path], amount: bool | int, name: str, progress: Console | None
) -> dict[int, ImageFacts]:
    count = len(paths) if amount is True else min(int(amount), len(paths))
    named = [i for i, image in enumerate(table.images) if "file_name" in image]
    chosen = [named[i] for i in np.unique(np.linspace(0, len(named) - 1, min(count, len(named))).astype(int))]
    if not chosen:
        return {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress, disable=progress is None, transient=True) as bar:
        task = bar.add_task(f"{name}: reading pictures", total=len(chosen))
        facts = examine_images([paths[i] for i in chosen], lambda: bar.advance(task))
    return dict(zip(chosen, facts, strict=True))


def _fill_sizes(table: AnnotationTable, facts: dict[int, ImageFacts]) -> None:
    """Where a file does not say how large a picture is, the picture does."""
    for index, seen in facts.items():
        if seen.size is not None and not np.isfinite(table.sizes[index]).all():
            table.sizes[index] = seen.size


def _pictures(
    content: Content, table: AnnotationTable, paths: list[Path], facts: dict[int, ImageFacts], folder: Path
) -> list[Finding]:
    findings = list(image_findings(table, paths, facts))
    if len(facts) < len(paths) and folder.is_dir():
        # Not all were read: whether they are there costs little to know.
        findings = [found for found in findings if found.name != "images-missing"]
        findings += missing_images(table, paths)
    if not facts:
        known = {str(path) for path in paths}
        broken = [p for p in content.problems if p.is_image and p.file in known and Path(p.file).exists()]
        if broken:
            findings.append(finding("images-unreadable", [Example(p.file, "", p.remedy) for p in broken]))
    return findings


def _overlaps(reports: list[SplitReport], facts: list[dict[int, ImageFacts]]) -> list[Finding]:
    """Pictures that two splits share: by content where they were read, else by their path."""
    keyed: list[dict[bytes, int]] = []
    for report, seen in zip(reports, facts, strict=True):
        keys: dict[bytes, int] = {}
        for index, path in enumerate(report.paths):
            digest = seen[index].digest if index in seen else b""
            keys.setdefault(digest or str(path.absolute()).encode(), index)
        keyed.append(keys)
    findings = []
    for a, b in combinations(range(len(reports)), 2):
        first, second = reports[a], reports[b]
        shared = [key for key in keyed[b] if key in keyed[a]]
        if shared:
            examples = [
                Example(
                    str(second.paths[keyed[b][key]]),
                    second.name,
                    f"also in {first.name} as {first.paths[keyed[a][key]].name}",
                )
                for key in shared[:3]
            ]
            findings.append(finding("overlap", examples, len(shared)))
    return findings


def _different_classes(reports: list[SplitReport]) -> list[Finding]:
    """Splits whose categories do not say the same."""
    lists = [
        sorted(((c.get("id", -1), str(c.get("name"))) for c in r.table.categories), key=str) for r in reports
    ]
    examples = [
        Example(report.source, report.name, f"{_difference(lists[0], classes)} {reports[0].name}")
        for report, classes in zip(reports[1:], lists[1:], strict=True)
        if classes != lists[0]
    ]
    return [finding("categories-differ", examples)] if examples else []


def _difference(first: list, other: list) -> str:
    more, less = [c for c in other if c not in first], [c for c in first if c not in other]
    show = "; ".join(
        f"{word} {', '.join(f'{i} {name}' for i, name in rows[:4])}{', …' if len(rows) > 4 else ''}"
        for word, rows in (("has", more), ("lacks", less))
        if rows
    )
    return f"{show}, against"
