"""A run that starts anew in the directory of an earlier one does not write over its files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process

RESULTS = "results.csv"


def claim_work_dir(runner: Any, *with_them: str) -> None:
    """Called before a run writes its first checkpoint or result: what an earlier one left goes aside.

    Not before there is something to write: a run that was started by mistake changes nothing. A run that was
    resumed goes on with what is there.

    Args:
        with_them: see `set_aside`.
    """
    if getattr(runner, "_has_claimed_work_dir", runner._resume):
        return
    runner._has_claimed_work_dir = True
    if is_main_process() and (aside := set_aside(runner.work_dir, *with_them)):
        runner.logger.warning(f"the checkpoints of an earlier run are in {aside} now")


def set_aside(work_dir: str | Path, *with_them: str) -> Path | None:
    """Move an earlier run's checkpoints and results to a folder of their own, `WORK_DIR/earlier_DATE_TIME`.

    Args:
        with_them: names of files that tell of the checkpoints and go with them.

    Returns:
        That folder; None where there is nothing to move.
    """
    folder = Path(work_dir)
    files = sorted(folder.glob("*.pth"), key=_time) + [p for p in (folder / RESULTS,) if p.is_file()]
    if not files:
        return None
    aside = folder / time.strftime("earlier_%Y%m%d_%H%M%S", time.localtime(max(map(_time, files))))
    aside.mkdir(exist_ok=True)
    for path in [*files, *(folder / name for name in with_them)]:
        if path.exists() or path.is_symlink():
            path.rename(aside / path.name)
    return aside


def _time(path: Path) -> float:
    return path.lstat().st_mtime
