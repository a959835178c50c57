"""What became of the sources of `detr-kit predict`, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class PredictReport:
    """What became of the sources.

    Attributes:
        done: images and videos written.
        skipped: those that were there already, made with the same settings.
        again: of those done, how many were there already, by what had been otherwise.
        failed: the error of each that could not be read, or not to its end.
        objects: how many of each class were found.
    """

    done: int = 0
    skipped: int = 0
    again: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    objects: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in self.objects.most_common())
        lines = [f"{self.done} done: {found or 'no object'}" if self.done else "0 done"]
        lines += [f"{count} of them again: {reason}" for reason, count in self.again.most_common()]
        if self.skipped:
            were = "was" if self.skipped == 1 else "were"
            lines.append(
                f"{self.skipped} {were} there already, made with the same settings "
                "(--overwrite does them again)"
            )
        if self.failed:
            lines.append(f"{len(self.failed)} could not be read, or not to the end:")
        return "\n".join([*lines, *(f"  {error}" for error in self.failed)])
