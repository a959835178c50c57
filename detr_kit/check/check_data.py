"""The check itself: each split's annotations, its pictures once, and the splits against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..data.annotation_table import MAX_LEFT_OUT, AnnotationTable, annotation_table, too_many
from ..data.formats import Content, Split
from .box_findings import box_findings
from .finding import ERROR, VERDICTS, WARNING, Example, Finding, finding
from .image_findings import ImageFacts, examine_images, image_findings, image_paths, missing_images
from .list_findings import list_findings
from .report import Report, SplitReport
from .split_findings import different_classes, overlaps
from .statistics import describe


def check_data(
    splits: Sequence[Split],
    *,
    num_queries: int | None = None,
    read_images: bool | int = True,
    beyond: int = 0,
    progress: Console | None = None,
    max_left_out: float = MAX_LEFT_OUT,
    name: str = "",
) -> Report:
    """Check a data set.

    Args:
        splits: of `find_data`, or of a config.
        num_queries: of the network, to hold against the objects per image.
        read_images: True reads every picture; a number that many of each split, evenly spread; False none,
            and then only whether they are there is looked at, where the folder exists.
        beyond: how many are read of a split that has more than `read_images`; 0 for as many as that.
        progress: the console for a progress bar, None for none; a pipe gets none.
        max_left_out: the share of a split's annotations that may be left out because they cannot be used;
            0 makes the first of them an error.
        name: of the set, for the report.

    Raises:
        InputError: an annotation file that cannot be read at all.
    """
    reports: list[SplitReport] = []
    facts: list[dict[int, ImageFacts]] = []
    for split in splits:
        content = split.read()
        table = annotation_table(str(split.source), content.data)
        paths = image_paths(table, split.images)
        amount = beyond if beyond and len(paths) > read_images > 1 else read_images
        seen = _read(table, paths, amount, split.name, progress)
        facts.append(seen)
        _fill_sizes(table, seen)
        verdict = ERROR if _too_many(table, content, max_left_out) else WARNING
        is_trained = split.name in ("train", "all")
        findings = [*list_findings(table, content, num_queries, verdict, is_trained)]
        findings += box_findings(table, verdict)
        findings += _pictures(content, table, paths, seen, split.images)
        findings.sort(key=lambda found: VERDICTS.index(found.verdict))
        source = str(split.source)
        reports.append(SplitReport(split.name, source, findings, describe(table), len(seen), table, paths))
    between = [*overlaps(reports, facts), *different_classes(reports)]
    return Report(reports, between, num_queries, name)


def _too_many(table: AnnotationTable, content: Content, max_left_out: float) -> bool:
    """Whether annotations that are left out, lines that are none among them, are more than a slip."""
    lines = sum(problem.is_line for problem in content.problems)
    bad = int((table.faults > 0).sum())
    return too_many(bad + lines, len(table.annotations) + lines, max_left_out)


def _read(
    table: AnnotationTable, paths: list[Path], amount: bool | int, name: str, progress: Console | None
) -> dict[int, ImageFacts]:
    count = len(paths) if amount is True else min(int(amount), len(paths))
    named = [i for i, name in enumerate(table.file_names) if name]
    chosen = [named[i] for i in np.unique(np.linspace(0, len(named) - 1, min(count, len(named))).astype(int))]
    if not chosen:
        return {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = progress is None or not progress.is_terminal
    with Progress(*columns, console=progress, disable=hidden, transient=True) as bar:
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
