"""A benchmark as text for the terminal."""

from __future__ import annotations

from rich.table import Table

from ..console_text import text_of
from .result import Benchmark, Row


def benchmark_text(found: Benchmark) -> str:
    """The table, and which way is the fastest of those that drift little."""
    height, width = found.input_size
    machine = found.machine
    return text_of(
        f"{found.detector}: {found.batch_size} × {height} × {width} on {machine['device']}, torch "
        f"{machine['torch']}, {machine['cpu threads']} threads",
        _table(found),
        *_remarks(found),
        f"fastest without drift: {found.fastest.name}, {found.speedup(found.fastest):.2f}× eager",
        width=110,
        highlight=False,
        markup=False,
        soft_wrap=True,
    ).rstrip()


def _table(found: Benchmark) -> Table:
    table = Table()
    for column in ("", "precision", "ms", "× eager", "score drift", "box drift", "mean IoU", "sound"):
        table.add_column(column, justify="right" if column in ("ms", "× eager") else "left")
    for row in found.rows:
        table.add_row(*_cells(row, found.speedup(row)))
    return table


def _cells(row: Row, speedup: float | None) -> tuple[str, ...]:
    if row.milliseconds is None or row.matches is None:
        return (row.name, row.precision, "–", "–", "", "", "", "does not run")
    scores, boxes = row.matches.scores.largest, row.matches.boxes.largest
    numbers = (f"{row.milliseconds:.1f}", f"{speedup:.2f}", f"{scores:.1e}", f"{boxes:.1e}")
    return (row.name, row.precision, *numbers, f"{row.matches.mean_iou:.4f}", "yes" if row.sound else "no")


def _remarks(found: Benchmark) -> list[str]:
    """Why rows have no time, or drift."""
    rows = [(row.name, row.error or "; ".join(row.failures)) for row in found.rows]
    return [f"{name}: {remark}" for name, remark in rows if remark]
