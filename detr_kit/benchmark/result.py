"""What a benchmark found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..export.compare import Matches


@dataclass(frozen=True)
class Row:
    """One way of running the network.

    Attributes:
        name: of the way, or the file.
        precision: "fp32", "bf16", "fp16" or "int8".
        milliseconds: median for a batch, None where it does not run.
        matches: the eager network's detections looked for among this one's; None where it does not run.
        failures: what drifts more than an export of this precision may (`export.verify.LIMITS`).
        error: why it does not run, else "".
    """

    name: str
    precision: str
    milliseconds: float | None = None
    matches: Matches | None = None
    failures: tuple[str, ...] = ()
    error: str = ""

    @property
    def sound(self) -> bool:
        """It runs, and drifts no more than it may."""
        return self.milliseconds is not None and not self.failures


@dataclass(frozen=True)
class Benchmark:
    """The rows, eager first, and what they were measured on.

    Attributes:
        detector: what was measured.
        input_size: (height, width) that the network saw.
        machine: name -> value, see `describe_environment`.
    """

    detector: str
    input_size: tuple[int, int]
    batch_size: int
    rows: list[Row]
    machine: dict[str, str]
    date: str

    @property
    def fastest(self) -> Row:
        """Of those that are sound; eager is."""
        return min((row for row in self.rows if row.sound), key=lambda row: row.milliseconds or 0)

    def speedup(self, row: Row) -> float | None:
        """How many times as fast as eager."""
        eager = self.rows[0].milliseconds
        return eager / row.milliseconds if eager and row.milliseconds else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [
            {**dataclasses.asdict(row), "sound": row.sound, "speedup": self.speedup(row)} for row in self.rows
        ]
        return {**dataclasses.asdict(self), "rows": rows, "fastest": self.fastest.name}
