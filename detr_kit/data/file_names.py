"""Finding the file that a name means, where annotations spell it otherwise than the disk does."""

from __future__ import annotations

import difflib
import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

_SAME_SUFFIX = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
_FOREIGN = re.compile(r"[A-Za-z]:|/|\.\./|\w+://")  # made on another machine, or for another folder
_NEAR_AMONG = 5000  # files that are compared for a hint; more take seconds


@dataclass(frozen=True)
class Matches:
    """Which file each name means.

    Attributes:
        folder: that the names are relative to.
        paths: the file of each name that was found.
        loose: names that are spelt otherwise than their file: the file, relative to the folder.
        ambiguous: names that may mean several files, or one file that other names mean too: those files.
        missing: names of no file; near: the file that is spelt most like the first of them, "" for none.
    """

    folder: Path
    paths: dict[str, Path]
    loose: dict[str, str]
    ambiguous: dict[str, list[str]]
    missing: list[str]
    near: str = ""

    def path(self, name: str) -> Path:
        """The file of a name; one that is not there lies where the name says."""
        return self.paths.get(name) or self.folder / name

    def note(self) -> str:
        """For people, where names were matched loosely; else ""."""
        if not self.loose:
            return ""
        name, file = next(iter(self.loose.items()))
        show = ascii if _composed(name) == _composed(file) else repr  # else they would look the same
        total = len(self.paths) + len(self.ambiguous) + len(self.missing)
        return (
            f"{len(self.loose)} of {total} file names are spelt otherwise than the files in {self.folder}, "
            f"and each fits one alone: {show(name)} is {show(file)}"
        )

    def complaint(self) -> str:
        """What is wrong, where a name has no file; else ""."""
        total = len(self.paths) + len(self.ambiguous) + len(self.missing)
        if self.ambiguous:
            name, files = next(iter(self.ambiguous.items()))
            more = f" ({len(self.ambiguous)} of {total} names)" if len(self.ambiguous) > 1 else ""
            return (
                f"{name!r} may mean {' or '.join(map(repr, files[:3]))} in {self.folder}, or the file is "
                f"another name's{more}; write the names as the files are called"
            )
        if self.missing:
            hint = f" (near it: {self.near!r})" if self.near else ""
            return (
                f"{len(self.missing)} of {total} images are not in {self.folder}; "
                f"the first is file_name={self.missing[0]!r}{hint}"
            )
        return ""


def match_names(folder: str | Path, names: Iterable[str]) -> Matches:
    """Find the file in a folder that each name means: as it stands, else the only one that fits.

    A name that is no file is tried with slashes for backslashes; without `./`, leading folders that are not
    there (`C:\\Users\\me\\images\\p.jpg`, `/data/upload/1/p.jpg`, a web address) or with folders that it does
    not name; percent-decoded; with composed letters (NFC); without regard to case; with another spelling of
    its extension (`.jpeg`), or with one where it has none. The first of these that fits any file decides, and
    it must fit one file alone, which no other name means: a wrong picture is worse than none.

    Args:
        folder: where the pictures are.
        names: relative to it, as annotations give them. Those that are files cost one listing a folder; the
            whole tree is only looked through where there are others.
    """
    folder = Path(folder)
    unique = list(dict.fromkeys(names))
    exact = _Exact(folder)
    paths = {name: folder / name for name in unique if exact.is_file(name)}
    rest = [name for name in unique if name not in paths]
    loose: dict[str, str] = {}
    ambiguous: dict[str, list[str]] = {}
    tree = _Tree(folder) if rest else None
    if tree is not None and tree.files:
        found = {name: tree.lookup(name) for name in rest}
        taken = {os.path.normpath(name) for name in paths}
        claims: dict[str, int] = defaultdict(int)
        for files in found.values():
            for file in files:
                claims[file] += 1
        for name, files in found.items():
            if len(files) == 1 and files[0] not in taken and claims[files[0]] == 1:
                loose[name] = files[0]
                paths[name] = folder / files[0]
            elif len(files) > 1 or (files and files[0] not in taken):
                ambiguous[name] = files
    missing = [name for name in rest if name not in loose and name not in ambiguous]
    near = tree.near(missing[0]) if tree is not None and missing else ""
    return Matches(folder, paths, loose, ambiguous, missing, near)


class _Exact:
    """Whether names are files, by one listing a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[str, set[str]] = {}

    def is_file(self, name: str) -> bool:
        parent, base = os.path.split(name)
        if parent not in self._listed:
            try:
                with os.scandir(self._folder / parent) as entries:
                    self._listed[parent] = {entry.name for entry in entries}
            except (OSError, ValueError):  # a name may hold what no path can
                self._listed[parent] = set()
        return base in self._listed[parent]


def _as_written(text: str) -> str:
    return text


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _caseless(text: str) -> str:
    return _composed(_composed(text).casefold())


def _one_suffix(text: str) -> str:
    stem, suffix = posixpath.splitext(_caseless(text))
    return stem + _SAME_SUFFIX.get(suffix, suffix)


_KEYS: tuple[Callable[[str], str], ...] = (_as_written, _composed, _caseless, _one_suffix)


class _Tree:
    """All files under a folder, hidden ones left out, by the ways to spell their names."""

    def __init__(self, folder: Path) -> None:
        self.files = list(_walk(folder))
        self._indices: dict[Callable[[str], str], dict[str, list[str]]] = {}

    def lookup(self, name: str) -> list[str]:
        """The files that fit the name in the strictest way that fits any."""
        for text in _spellings(name):
            is_foreign = _FOREIGN.match(text) is not None
            parts = [part for part in posixpath.normpath(text).split("/") if part not in ("", ".", "..")]
            for key in _KEYS if parts else ():
                files = self._index(key).get(key(parts[-1]), [])
                if files and (fits := _fitting(parts, files, key, is_foreign)):
                    return fits
            if parts and (fits := _fitting(parts, self._without_suffix(parts[-1]), _stem, is_foreign)):
                return fits
        return []

    def near(self, name: str) -> str:
        """The file whose name is most like it, "" where none is."""
        base = _caseless(name.replace("\\", "/").rpartition("/")[2])
        names = {_caseless(posixpath.basename(file)): file for file in self.files[:_NEAR_AMONG]}
        found = difflib.get_close_matches(base, names, n=1, cutoff=0.75)
        return names[found[0]] if found else ""

    def _index(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        if key not in self._indices:
            index: dict[str, list[str]] = defaultdict(list)
            for file in self.files:
                index[key(posixpath.basename(file))].append(file)
            self._indices[key] = index
        return self._indices[key]

    def _without_suffix(self, base: str) -> list[str]:
        pictures = Image.registered_extensions()
        files = self._index(_stem).get(_caseless(base), [])
        return [file for file in files if posixpath.splitext(file)[1].lower() in pictures]


def _stem(text: str) -> str:
    return _caseless(posixpath.splitext(text)[0])


def _walk(folder: Path) -> Iterator[str]:
    """Files relative to a folder, with slashes, in order; links are followed, but not in circles."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(place, folder).replace(os.sep, "/")
        start = "" if relative == "." else f"{relative}/"
        yield from (start + name for name in sorted(files) if not name.startswith("."))


def _spellings(name: str) -> list[str]:
    """A name with slashes, and the same percent-decoded."""
    text = name.strip().replace("\\", "/")
    if "?d=" in text:  # Label Studio's local files: /data/local-files/?d=images/p.jpg
        text = text.partition("?d=")[2].partition("&")[0]
    elif "://" in text:
        text = re.split("[?#]", text)[0]
    return list(dict.fromkeys((text, unquote(text))))


def _fitting(parts: list[str], files: list[str], key: Callable[[str], str], is_foreign: bool) -> list[str]:
    """Those of the files, which all have the name's base name, whose folders fit the name's best.

    The folders of a foreign name are another machine's and only choose between files of one base name; those
    of a relative name must agree as far as both go.
    """
    folders = [_caseless(part) if key is not _as_written else part for part in parts[:-1]]
    scores: dict[str, int] = {}
    for file in files:
        own = [_caseless(part) if key is not _as_written else part for part in file.split("/")[:-1]]
        common = _common_tail(folders, own)
        if is_foreign:
            scores[file] = common
        elif common == min(len(folders), len(own)):
            scores[file] = -abs(len(folders) - len(own))
    best = max(scores.values(), default=0)
    return [file for file, score in scores.items() if score == best]


def _common_tail(first: list[str], second: list[str]) -> int:
    count = 0
    for a, b in zip(reversed(first), reversed(second), strict=False):
        if a != b:
            break
        count += 1
    return count
