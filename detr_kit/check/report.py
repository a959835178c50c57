"""What a check found, as data and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ..data.annotation_table import AnnotationTable
from .finding import ERROR, NOTE, VERDICTS, WARNING, Finding
from .statistics import SIZE_EDGES, Statistics

COLOURS = {ERROR: "red", WARNING: "yellow", NOTE: "cyan"}
_BAR = 30


@dataclass(frozen=True)
class SplitReport:
    """Of one split: where it comes from, what was found, its numbers, and the table and files behind them."""

    name: str
    source: str
    findings: list[Finding]
    statistics: Statistics
    num_read: int
    table: AnnotationTable
    paths: list[Path]


@dataclass(frozen=True)
class Report:
    """Of a data set.

    Attributes:
        splits: one after the other.
        between: findings that concern several splits.
        num_queries: of the network that the set was held against, None for none.
        name: of the set.
    """

    splits: list[SplitReport]
    between: list[Finding]
    num_queries: int | None = None
    name: str = ""

    def findings(self) -> Iterator[tuple[str, Finding]]:
        """(split, or "" between splits; finding), the worst first."""
        rows = [("", finding) for finding in self.between]
        rows += [(split.name, finding) for split in self.splits for finding in split.findings]
        yield from sorted(rows, key=lambda row: VERDICTS.index(row[1].verdict))

    def count(self, verdict: str) -> int:
        """How many findings have a verdict."""
        return sum(finding.verdict == verdict for _, finding in self.findings())

    @property
    def exit_code(self) -> int:
        """1 where there is an error."""
        return int(self.count(ERROR) > 0)

    def summary(self) -> str:
        """One line."""
        counted = ((self.count(verdict), verdict) for verdict in VERDICTS)
        return ", ".join(f"{n} {verdict}{'' if n == 1 else 's'}" for n, verdict in counted)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "summary": {verdict: self.count(verdict) for verdict in VERDICTS},
            "num_queries": self.num_queries,
            "findings": [{"split": split, **finding.to_dict()} for split, finding in self.findings()],
            "splits": {
                split.name: {
                    "source": split.source,
                    "images_read": split.num_read,
                    **split.statistics.to_dict(),
                }
                for split in self.splits
            },
        }

    def print(self, console: Console) -> None:
        """For people: the numbers of each split, then the findings, the worst last, where eyes end up."""
        for split in self.splits:
            console.print(_numbers(split))
        for split_name, found in reversed(list(self.findings())):
            console.print(_finding(split_name, found))
        console.print(f"[bold]{self.summary()}[/]")


def _numbers(split: SplitReport) -> RenderableType:
    numbers = split.statistics
    objects = numbers.objects_per_image
    read = f"{split.num_read} of them read" if split.num_read else "not read"
    crowd = f" ({numbers.num_crowd} crowd regions)" if numbers.num_crowd else ""
    head = (
        f"\n[bold]{split.name}[/] {escape(split.source)}\n"
        f"{numbers.num_images} pictures, {read}; {numbers.num_boxes} boxes{crowd}; objects per picture: "
        f"{objects['min']:g} … {objects['max']:g}, median {objects['median']:g}, mean {objects['mean']:.1f}"
    )
    classes = Table(box=None, pad_edge=False)
    for column in ("id", "class", "boxes", "pictures", ""):
        classes.add_column(column, justify="left" if column in ("class", "") else "right")
    most = max((row[2] for row in numbers.classes), default=0)
    for number, name, boxes, images in numbers.classes[:100]:
        classes.add_row(escape(str(number)), escape(name), str(boxes), str(images), bar(boxes, most))
    sizes = Table(box=None, pad_edge=False)
    for column in ("box side", "boxes", ""):
        sizes.add_column(column, justify="left" if column == "" else "right")
    for label, count in size_rows(numbers):
        sizes.add_row(label, str(count), bar(count, max(numbers.box_sizes)))
    return Group(head, classes, sizes)


def size_rows(numbers: Statistics) -> list[tuple[str, int]]:
    """The histogram's rows: range of the box's side in pixels, count."""
    ends = [f"{e}" for e in SIZE_EDGES[1:]]
    labels = [f"{start}–{end}" for start, end in zip(SIZE_EDGES, ends, strict=False)] + [
        f"≥ {SIZE_EDGES[-1]}"
    ]
    return list(zip(labels, numbers.box_sizes, strict=True))


def bar(count: int, most: int) -> str:
    """A bar of text; what is there at all shows."""
    return "█" * max(round(_BAR * count / most), 1) if count and most else ""


def _finding(split: str, found: Finding) -> str:
    colour = COLOURS[found.verdict]
    where = f"{split}: " if split else ""
    lines = [f"[{colour} bold]{found.verdict}[/] {where}[bold]{found.title}: {found.count}[/] ({found.name})"]
    lines += [f"    {escape(str(example))}" for example in found.examples]
    return "\n".join([*lines, f"    [dim]→ {escape(found.remedy)}[/]"])
