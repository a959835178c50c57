"""Files and folders that users name, looked for before anything slow begins."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import InputError


def data_paths(path: str | Path, images: str | Path | None = None) -> tuple[Path, Path | None]:
    """A data set's own path and the folder of its pictures, where that is named; both are there.

    Raises:
        InputError: one is not.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    folder = Path(images).expanduser() if images else None
    if folder is not None and not folder.is_dir():
        raise InputError(f"--images {folder}: no such folder")
    return path, folder


def check_sources(sources: Sequence[str]) -> None:
    """Whether there is something to predict on at all: of several sources some may be missing.

    Raises:
        InputError: all are files, and none of them is there.
    """
    missing = [source for source in sources if _is_missing(source)]
    if missing and len(missing) == len(sources):
        more = f" (nor {', '.join(missing[1:4])}{', …' if len(missing) > 4 else ''})" if missing[1:] else ""
        raise InputError(f"{missing[0]}: no such file or folder{more}")


def _is_missing(source: str) -> bool:
    """Not there, and no address, camera or pattern, of which more than a look at the disk can tell."""
    named_only = "://" in source or source.isdecimal() or glob.has_magic(source)
    return not named_only and not os.path.exists(source)


def check_resumed(resume: bool | str | Path) -> None:
    """Raises InputError where the run to go on with is named by a checkpoint that is not there."""
    if not isinstance(resume, bool) and not Path(resume).is_file():
        raise InputError(f"--resume {resume}: no such file; leave it empty to take the newest of the run")


def check_output_folder(out: Path) -> None:
    """Whether a folder can be made there, without making it: a run that writes nothing leaves nothing.

    Raises:
        InputError: it cannot.
    """
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError(f"--out {out}: {there} is a file, not a folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"--out {out}: nothing can be written to {there}")
