"""What became of the images of a run, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class PartReport:
    """What became of one part: images with a row of detections, with a row of errors, objects by class."""

    done: int = 0
    failed: int = 0
    objects: Counter[str] = field(default_factory=Counter)


@dataclass
class DatasetReport:
    """What became of all images.

    Attributes:
        out: the folder with the tables.
        total: images of the run, those of earlier ones included.
        skipped: images of parts that were there already.
        done: images with a row of detections now.
        failed: images with a row in the table of errors now.
        objects: how many of each class were found now.
    """

    out: str
    total: int
    skipped: int
    done: int = 0
    failed: int = 0
    objects: Counter[str] = field(default_factory=Counter)

    def add(self, part: PartReport) -> None:
        """One more part is there."""
        self.done += part.done
        self.failed += part.failed
        self.objects.update(part.objects)

    def __str__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in self.objects.most_common())
        lines = [f"{self.done} of {self.total} images done: {found or 'no object'}"]
        if self.skipped:
            lines.append(f"{self.skipped} were there already")
        if self.failed:
            lines.append(f"{self.failed} could not be read: {self.out}/_errors says why")
        return "\n".join(lines)
