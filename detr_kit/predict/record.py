"""What each output of `detr-kit predict` was made of and with, kept in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError

NAME = ".predictions.jsonl"
_FORMER_NAME = ".sources.json"  # of version 0.1.0: output -> source, and nothing else


class Made(NamedTuple):
    """How an output was made.

    Attributes:
        source: a path, an address or a camera's number.
        content: size and time of change of a file, "" of anything else.
        settings: everything beside the source that decides what is found, as plain data.
        whole: all of the source was read.
    """

    source: str
    content: str
    settings: Mapping[str, Any]
    whole: bool = True

    @classmethod
    def of(cls, source: str | int | Path, settings: Mapping[str, Any]) -> Made:
        """As it would be made now."""
        if isinstance(source, int) or "://" in str(source):
            return cls(str(source), "", settings)
        path = Path(source).resolve()
        state = path.stat() if path.is_file() else None
        return cls(str(path), f"{state.st_size} {state.st_mtime_ns}" if state else "", settings)

    def differences(self, other: Made) -> list[str]:
        """What another has otherwise, for people: "score_threshold 0.3, now 0.5"."""
        found = [] if self.whole else ["cut short"]
        found += ["another content of the source"] if self.content != other.content else []
        for key in sorted({*self.settings, *other.settings}):
            old, new = self.settings.get(key), other.settings.get(key)
            if old != new:
                short = all(
                    len(str(value)) < 12 and not isinstance(value, list | dict) for value in (old, new)
                )
                found.append(f"{key} {old}, now {new}" if short and key != "weights" else f"other {key}")
        return found


class Record:
    """`.predictions.jsonl` in a folder: a line for all settings once, then one an output; the last counts.

    Lines are added when their output is there, so that a run that is cut off has told nothing untrue.

    Raises:
        InputError: the file is there and is none of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._made: dict[str, Made] = {}
        try:
            for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else ():
                self._read(line)
            former = folder / _FORMER_NAME
            names = json.loads(former.read_text(encoding="utf-8")) if former.is_file() else {}
            for name, source in names.items():
                self._made.setdefault(name, Made(str(source), "", {"version": "0.1.0"}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.path}: not as predict writes it ({error}); remove the file") from error

    def of(self, output: Path) -> Made | None:
        """How an output was made; None where nothing is known of it."""
        return self._made.get(self._name(output))

    def add(self, output: Path, made: Made) -> None:
        """Note an output that has just been written."""
        lines: list[dict[str, Any]] = []
        key = _key(made.settings)
        if key not in self._settings:
            self._settings[key] = made.settings
            lines.append({"settings": key, "of": made.settings})
        name = self._name(output)
        row = {"output": name, "source": made.source, "content": made.content, "settings": key}
        lines.append(row if made.whole else row | {"whole": False})
        self._made[name] = made
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return  # the last line of a process that was killed
        if "of" in row:
            self._settings[row["settings"]] = row["of"]
        else:
            settings, whole = self._settings.get(row["settings"], {}), row.get("whole", True)
            self._made[row["output"]] = Made(row["source"], row["content"], settings, whole)

    def _name(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()


def _key(settings: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()
