"""A run that starts anew in the directory of an earlier one does not write over its checkpoints."""

from __future__ import annotations

import time
from pathlib import Path


def set_aside(work_dir: str | Path, *with_them: str) -> Path | None:
    """Move the checkpoints of an earlier run into a folder of their own, `WORK_DIR/earlier_DATE_TIME`.

    Args:
        with_them: names of files that tell of the checkpoints and go with them.

    Returns:
        That folder; None where there are none.
    """
    folder = Path(work_dir)
    checkpoints = sorted(folder.glob("*.pth"), key=lambda path: path.stat().st_mtime)
    if not checkpoints:
        return None
    aside = folder / time.strftime("earlier_%Y%m%d_%H%M%S", time.localtime(checkpoints[-1].stat().st_mtime))
    aside.mkdir(exist_ok=True)
    for path in [*checkpoints, *(folder / name for name in with_them)]:
        if path.exists():
            path.rename(aside / path.name)
    return aside
