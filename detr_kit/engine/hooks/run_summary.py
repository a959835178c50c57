"""The last lines of a run: what came out, where it is, and what to do with it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ...evaluation import figure_text
from ..earlier_run import RESULTS
from .checkpoint import PREEMPTED, last_checkpoint
from .named_checkpoints import BEST, LAST
from .results import rows_of


class RunSummaryHook(Hook):
    """Ends the log of a run with its best figures, its files and the next three commands."""

    priority = "LOWEST"

    def after_train(self, runner: Any) -> None:
        """Say it, unless the run was stopped and is to go on."""
        last = last_checkpoint(runner.work_dir)
        if is_main_process() and last is not None and Path(last).name != PREEMPTED:
            runner.logger.info("\n" + summary(runner))


def summary(runner: Any) -> str:
    """The text."""
    rows = [row for row in rows_of(runner) if row.get("AP", -1) >= 0]
    folder = Path(_short(runner.work_dir))
    checkpoint = next((folder / name for name in (BEST, LAST) if (folder / name).exists()), folder / LAST)
    lines = [f"finished after {runner.epoch} epoch{'' if runner.epoch == 1 else 's'}"]
    if rows:
        best = max(rows, key=lambda row: row["AP"])
        figures = ", ".join(f"{name} {figure_text(best[name])}" for name in ("AP", "AP50") if name in best)
        lines[0] += f"; best {figures} (epoch {best['epoch']})"
    files = {BEST: "the best weights", LAST: "the last", RESULTS: "every epoch", "curves.png": "drawn"}
    lines += [f"  {folder / name}: {text}" for name, text in files.items() if (folder / name).exists()]
    config, weights = _quoted(_config(runner)), _quoted(checkpoint)
    onnx = _quoted(checkpoint.with_suffix(".onnx"))
    lines += [
        "next:",
        f"  detr-kit predict {_quoted(_picture(runner))} --checkpoint {weights}",
        f"  detr-kit test {config} {weights}",
        f"  detr-kit export --checkpoint {weights} --format onnx --out {onnx}",
    ]
    return "\n".join(lines)


def _config(runner: Any) -> str:
    """The one in the work directory, which holds what was given on the command line too."""
    return _short(Path(runner.work_dir) / Path(runner.cfg.filename or "config.py").name)


def _picture(runner: Any) -> str:
    """One that the network has not learnt from."""
    loop = runner.val_loop
    dataset = loop.dataloader.dataset if loop is not None else None
    if dataset is None or not hasattr(dataset, "folder"):
        return "PICTURE"
    return _short(dataset.folder / str(dataset.annotations.file_names[0]))


def _short(path: str | Path) -> str:
    """As seen from the current directory, where it lies below it."""
    path = Path(path).absolute()
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _quoted(path: str | Path) -> str:
    return shlex.quote(str(path))
