"""A run's figures as a table: one line an epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ..atomic_file import whole_file
from ..earlier_run import RESULTS, claim_work_dir
from .checkpoint import WITH_CHECKPOINTS

_ROWS = "results"  # in the message hub, and with it in every checkpoint
_LEFT_OUT = ("data_time", "memory", "grad_norm")


class ResultsHook(Hook):
    """Keeps `results.csv` in the work directory: epoch, seconds, learning rate, mean losses, COCO's figures.

    The rows travel in the checkpoints, so a resumed run continues the table where it stood, wherever it is
    resumed and whatever was written after the checkpoint.
    """

    priority = "LOW"  # before the checkpoint of the same epoch, which is to hold its row

    def __init__(self) -> None:
        self._is_training = False

    def before_train(self, runner: Any) -> None:
        """A validation alone has no table."""
        self._is_training = True

    def after_train_epoch(self, runner: Any) -> None:
        """Add the epoch's losses; they are written once the checkpoint is."""
        scalars, length = runner.message_hub.log_scalars, len(runner.train_dataloader)
        means = {
            name.removeprefix("train/"): history.mean(length)
            for name, history in scalars.items()
            if name.startswith("train/") and not name.endswith(_LEFT_OUT)
        }
        seconds, _ = means.pop("time", 0.0) * length, means.pop("lr", None)
        lr = scalars["train/lr"].current() if "train/lr" in scalars else None
        row = {"epoch": runner.epoch + 1, "seconds": round(seconds, 1), "lr": lr, **means}
        rows = [old for old in rows_of(runner) if old["epoch"] < row["epoch"]]
        runner.message_hub.update_info(_ROWS, [*rows, row])

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Add what was measured."""
        if not self._is_training:
            return
        figures = {name.removeprefix("coco/"): value for name, value in (metrics or {}).items()}
        rows = [{**row, **figures} if row["epoch"] == runner.epoch else row for row in rows_of(runner)]
        runner.message_hub.update_info(_ROWS, rows)
        self._write(runner)

    def before_train_epoch(self, runner: Any) -> None:
        """The epoch before, where it was not validated."""
        self._write(runner)

    def after_train(self, runner: Any) -> None:
        """All of it."""
        self._write(runner)

    def _write(self, runner: Any) -> None:
        rows = rows_of(runner)
        if not rows or not is_main_process():
            return
        claim_work_dir(runner, *WITH_CHECKPOINTS)
        try:
            with whole_file(Path(runner.work_dir) / RESULTS) as partial:
                _write_table(partial, rows)
        except OSError as error:  # the figures are in the log and in the checkpoints too
            runner.logger.warning(f"{RESULTS} could not be written: {error.strerror or error}")


def rows_of(runner: Any) -> list[dict[str, Any]]:
    """The epochs of a run so far, oldest first: what stands in results.csv."""
    return runner.message_hub.runtime_info.get(_ROWS) or []


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)


def _text(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
