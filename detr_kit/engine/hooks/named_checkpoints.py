"""Checkpoints under names that a script can rely on, beside those that carry the epoch."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..atomic_file import PARTIAL

BEST, LAST = "best.pth", "last.pth"


def name_checkpoint(path: str | Path, name: str) -> None:
    """Let `name`, in the folder of a checkpoint, stand for it from now on.

    A second name costs no space: a hard link, where the file system has none a symbolic one, else a copy. At
    no moment does the name stand for half a file; where none of the three works it stands for nothing.
    """
    path = Path(path)
    named, partial = path.with_name(name), path.with_name(f".{name}{PARTIAL}")
    ways: tuple[Callable[[], object], ...] = (
        lambda: os.link(path, partial),
        lambda: os.symlink(path.name, partial),
        lambda: shutil.copyfile(path, partial),
    )
    for way in ways:
        partial.unlink(missing_ok=True)
        try:
            way()
            os.replace(partial, named)
        except OSError:
            continue
        partial.unlink(missing_ok=True)  # renaming one link of a file to another of it does nothing
        return
    for useless in (partial, named):
        with contextlib.suppress(OSError):
            useless.unlink(missing_ok=True)
