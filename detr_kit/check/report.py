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
_SHOWN = 10  # classes, the most frequent and the rarest
ClassRow = tuple[int, str, int, int]


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
            "name": self.name,
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
        """For people: the findings, the worst first, then the numbers of each split, then the outcome.

        The HTML report has the same order.
        """
        for split_name, found in self.findings():
            console.print(_finding(split_name, found))
        for split in self.splits:
            console.print(_numbers(split))
        console.print(f"\n[bold]{escape(self.title())}[/]")

    def title(self) -> str:
        """The set and the outcome."""
        return f"{self.name}: {self.summary()}" if self.name else self.summary()


def _numbers(split: SplitReport) -> RenderableType:
    numbers = split.statistics
    objects = numbers.objects_per_image
    read = "not read" if not split.num_read else f"{split.num_read} of them read"
    read = "all read" if split.num_read == numbers.num_images > 0 else read
    crowd = f" ({numbers.num_crowd} crowd regions)" if numbers.num_crowd else ""
    head = (
        f"\n[bold]{split.name}[/] {escape(split.source)}\n"
        f"{plural(numbers.num_images, 'picture')}, {read}; "
        f"{plural(numbers.num_boxes, 'box', 'boxes')}{crowd}; objects per picture: "
        f"{objects['min']:g} … {objects['max']:g}, median {objects['median']:g}, mean {objects['mean']:.1f}"
    )
    classes = Table(box=None, pad_edge=False)
    for column in ("id", "class", "boxes", "pictures", ""):
        classes.add_column(column, justify="left" if column in ("class", "") else "right")
    most = max((row[2] for row in numbers.classes), default=0)
    for row in class_rows(numbers):
        if row is None:
            classes.add_row("", f"… {left_out(numbers)} more", "", "", "")
            continue
        number, name, boxes, images = row
        classes.add_row(escape(str(number)), escape(name), str(boxes), str(images), bar(boxes, most))
    sizes = Table(box=None, pad_edge=False)
    for column in ("box side", "boxes", ""):
        sizes.add_column(column, justify="left" if column == "" else "right")
    for label, count in size_rows(numbers):
        sizes.add_row(label, str(count), bar(count, max(numbers.box_sizes)))
    return Group(head, classes, sizes)


def plural(count: int, one: str, more: str = "") -> str:
    """ "1 box", "2 boxes"."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def class_rows(numbers: Statistics) -> list[ClassRow | None]:
    """The classes, the most frequent first; of many the ten at either end, and None for those between."""
    rows = sorted(numbers.classes, key=lambda row: -row[2])
    return [*rows] if left_out(numbers) == 0 else [*rows[:_SHOWN], None, *rows[-_SHOWN:]]


def left_out(numbers: Statistics) -> int:
    """How many classes `class_rows` does not list."""
    return max(len(numbers.classes) - 2 * _SHOWN, 0)


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
