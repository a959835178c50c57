"""Files on this machine and wherever fsspec reaches: s3://, gs://, az://, http(s)://, hdfs://, …"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError

_TRIES = 4
_FIRST_WAIT = 0.5
"""Seconds before the second try; doubled after each."""
Value = TypeVar("Value")


class StorageOutage(InputError):
    """A place could not be reached at all, several times: it says nothing of the one file asked for."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a place by its protocol, as `s3://bucket/a.jpg` does."""
    return "://" in str(path)


def absolute(path: str | os.PathLike[str]) -> str:
    """The path as every process and machine understands it; an address as it is."""
    return str(path) if is_url(path) else str(Path(path).expanduser().absolute())


def join(folder: str | os.PathLike[str], name: str) -> str:
    """A file's path in a folder or below an address."""
    return f"{str(folder).rstrip('/')}/{name}"


def read_bytes(path: str | os.PathLike[str], start: int | None = None, end: int | None = None) -> bytes:
    """A file, or the bytes [start, end) of it.

    Raises:
        InputError: it is not there, or may not be read.
        StorageOutage: its place does not answer.
    """
    if not is_url(path):
        try:
            with open(path, "rb") as file:
                file.seek(start or 0)
                return file.read() if end is None else file.read(end - (start or 0))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
    files, name = filesystem(str(path))
    return _asked(str(path), lambda: files.cat_file(name, start=start, end=end))


def write_whole(path: str, data: bytes) -> None:
    """Write a file that is there whole or not at all, with the folders above it.

    On object stores a file appears when all of it has come; elsewhere it is written under another name first.

    Raises:
        InputError: it cannot be written.
    """
    if is_url(path):
        files, name = filesystem(path)
        _asked(path, lambda: files.pipe_file(name, data))
        return
    partial = Path(path).with_name(f".{Path(path).name}.{uuid.uuid4().hex}.partial")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: it cannot be written: {error.strerror or error}") from error


def remove(path: str) -> None:
    """Remove a file that may be there.

    Raises:
        InputError: it is there and stays.
    """
    files, name = filesystem(path)
    if _asked(path, lambda: files.exists(name)):
        _asked(path, lambda: files.rm_file(name))


def exists(path: str) -> bool:
    """Whether a file is there."""
    files, name = filesystem(path)
    return bool(_asked(path, lambda: files.exists(name)))


def list_folder(folder: str) -> list[str]:
    """The names of the files directly in a folder, sorted; [] where there is no folder."""
    files, name = filesystem(folder)
    files.invalidate_cache()
    try:
        found = _asked(folder, lambda: files.ls(name, detail=False))
    except StorageOutage:
        raise
    except InputError:
        return []
    return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)


def find_files(pattern: str) -> list[str]:
    """The files that a pattern (`*`, `?`, `[…]`, `**`) at an address matches, sorted, as addresses."""
    files, name = filesystem(pattern)
    return sorted(files.unstrip_protocol(path) for path in _asked(pattern, lambda: files.glob(name)))


def filesystem(path: str) -> tuple[Any, str]:
    """fsspec's file system for a path, and what the path is called in it.

    Raises:
        InputError: no such protocol, or the package that speaks it is missing.
    """
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(path)
    except ImportError as error:
        raise InputError(f"{path}: {error}") from error  # fsspec says which package to install
    except ValueError as error:
        raise InputError(f"{path}: {error}; fsspec knows no such protocol") from error


def _asked(path: str, ask: Callable[[], Value]) -> Value:
    """The answer of a place, which may be busy for a moment."""
    for attempt in range(_TRIES):
        try:
            return ask()
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
            raise InputError(f"{path}: {error.strerror or _kind(error)}") from error
        except Exception as error:  # every protocol has errors of its own
            if attempt == _TRIES - 1:
                raise StorageOutage(
                    f"{path}: not reached in {_TRIES} tries: {_kind(error)}: {error}"
                ) from error
            time.sleep(_FIRST_WAIT * 2**attempt)
    raise AssertionError("unreachable")


def _kind(error: Exception) -> str:
    return type(error).__name__
