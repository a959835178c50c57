"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes its place, all at once.

    The bytes are on the disk before the name is, so that neither a killed process nor a power cut leaves
    half a file under it. On an error the temporary file is removed and `path` stays as it was.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_partial_files(folder: str | Path) -> int:
    """Remove what killed processes left unfinished in a folder; how many files that were."""
    left = list(Path(folder).glob(f".*{PARTIAL}"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
