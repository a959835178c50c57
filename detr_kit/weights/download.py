"""Getting the file behind an address: whole and checked, or not at all.

requests carries the bytes, filelock keeps other processes from fetching the same file, tqdm shows how far it
is. What decides is ours: pooch and torch.hub.download_url_to_file start anew where a connection breaks and
lock nothing, and pooch wants a whole hash where names of files hold its first eight digits.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from tqdm import tqdm

from ..errors import InputError
from .digest import is_right, sha256_of
from .unreachable import NoAnswer

TIMEOUT = (10.0, 60.0)
"""Seconds in which a server has to answer, and that it may be silent."""
TRIES = 5
"""Tries in a row that bring nothing new, until a download is given up."""
WAIT = 1.0
"""Seconds before the second try; twice as many before each further one."""
PIECE = 2**16
"""Bytes that are written at once; where a connection breaks, a piece that is not whole is lost."""
_BUSY = (408, 429, 500, 502, 503, 504)


def download(url: str, path: Path, sha256: str | None) -> None:
    """Fetch a file, unless another process has just done so.

    It has its name only when it is whole and its hash is right; until then what came of it is in NAME.part.
    Where the hash is known, the next process goes on from there after one that was killed.

    Args:
        url: asked for; path: where the file goes; sha256: of the file, or its beginning; None: any.

    Raises:
        NoAnswer: nothing could be reached.
        InputError: the server refuses, the file breaks off or is another, or there is no room for it. Nothing
            is left of it then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if path.is_file() and is_right(path, sha256):
                return
            partial = path.with_name(f"{path.name}.part")
            if sha256 is None:
                partial.unlink(missing_ok=True)  # it may be of another version
            try:
                _receive(url, partial)
                if not is_right(partial, sha256):
                    raise InputError(
                        f"{url}: the file is not the one that was published: its SHA-256 is "
                        f"{sha256_of(partial)}, which does not begin with {sha256}. It was not opened, and "
                        "nothing of it was kept; try again, or fetch it from elsewhere"
                    )
                os.replace(partial, path)
            except (InputError, NoAnswer, OSError) as error:
                if not (isinstance(error, NoAnswer) and _size(partial)):  # an earlier process's is kept
                    partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(f"{url}: {_why(error, path.parent)}") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process fetches the same file."""
    folder = path.parent / ".locks"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{path.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process, which fetches {path.name}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _receive(url: str, partial: Path) -> None:
    """All of a file, going on where a connection broke."""
    begun = furthest = _size(partial)
    tries = TRIES
    while True:
        try:
            return _go_on(url, partial)
        except requests.HTTPError as error:
            if error.response.status_code not in _BUSY:
                raise InputError(f"{url}: {_refusal(error.response)}") from error
            reason = _status(error.response)
        except (requests.ConnectionError, requests.Timeout) as error:
            reason = _innermost(error)
            if furthest == begun == _size(partial):
                raise NoAnswer(reason) from error
        except requests.exceptions.ChunkedEncodingError:
            reason = "the connection broke"
        except requests.RequestException as error:  # an address that is none, redirects without an end
            raise InputError(f"{url}: it cannot be fetched: {error}") from error
        reached = _size(partial)
        tries = TRIES if reached > furthest else tries - 1
        furthest = max(furthest, reached)
        if not tries:
            raise InputError(
                f"{url}: it breaks off after {furthest} bytes, {TRIES} times in a row ({reason}). Nothing of "
                "it was kept; try again later"
            )
        time.sleep(WAIT * 2 ** (TRIES - tries))


def _go_on(url: str, partial: Path) -> None:
    """One request for what is missing of a file; servers that know no ranges send all of it again."""
    have = _size(partial)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            partial.unlink()  # more than there is: of another version
            return _go_on(url, partial)
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        _check_room(partial.parent, 0 if total is None else total - have)
        with (
            partial.open("ab" if have else "wb") as file,
            tqdm(
                total=total, initial=have, desc=_name(url), unit="B", unit_scale=True, disable=None
            ) as bar,
        ):  # fmt: skip
            for piece in response.iter_content(PIECE):
                file.write(piece)
                bar.update(len(piece))
    if total is not None and _size(partial) < total:  # urllib3 before 2.0 does not notice
        raise requests.exceptions.ChunkedEncodingError(f"{_size(partial)} of {total} bytes came")


def _check_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1][-40:]


def _refusal(response: requests.Response) -> str:
    if response.status_code in (requests.codes.not_found, requests.codes.gone):
        return f"the server has no such file ({_status(response)}); look for it where it was published"
    if response.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
        return f"the server refuses to give it ({_status(response)}); fetch it by hand, or from a mirror"
    return f"it cannot be fetched ({_status(response)})"


def _status(response: requests.Response) -> str:
    return f"{response.status_code} {response.reason}".strip()


def _innermost(error: BaseException) -> str:
    """The words of an error's cause: requests wraps those of urllib3, and those the system's."""
    for nested in (getattr(error, "reason", None), *error.args):
        if isinstance(nested, BaseException):
            return _innermost(nested)
    return str(error).rsplit("): ", 1)[-1] or type(error).__name__


def _why(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(folder).free / 2**20
        return (
            f"there is no room for it in {folder} ({free:.0f} MiB free). Nothing of it was kept; make room, "
            "or set DETR_KIT_CACHE to a folder that has some"
        )
    return (
        f"it cannot be kept in {folder}: {error.strerror or error}; set DETR_KIT_CACHE to a folder that can "
        "be written"
    )
