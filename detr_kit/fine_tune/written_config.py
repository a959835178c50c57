"""Configs that were written for a run, and whether somebody has edited them since."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MARK = "# detr-kit, to tell an edited file from one that is as it was written: "
_EPOCHS = re.compile(r"^(train_cfg = dict\(max_epochs=)\d+", re.MULTILINE)
_AS_IS = re.compile(r'[^\\"\n\r{}]+')  # folders that mmengine can put into the text of a config
HERE = "{{ fileDirname }}"  # mmengine's word for the folder of the config


@dataclass(frozen=True)
class WrittenConfig:
    """The text of a config and what is known of its origin.

    Attributes:
        data: the data set that it is for; None where it does not say.
        options: of the command that wrote it.
        is_untouched: it is as it was written.
    """

    text: str
    data: str | None
    options: dict[str, Any]
    is_untouched: bool

    @classmethod
    def read(cls, path: Path) -> WrittenConfig:
        """Read a config; one that says nothing of its origin counts as edited."""
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines(keepends=True)
        marks = [line for line in lines if line.startswith(_MARK)]
        try:
            origin = json.loads(marks[-1].removeprefix(_MARK))
            body = "".join(line for line in lines if line != marks[-1])
            return cls(text, origin["data"], dict(origin["options"]), origin["fingerprint"] == _hash(body))
        except (IndexError, ValueError, KeyError, TypeError):
            return cls(text, None, {}, False)

    def with_epochs(self, epochs: int) -> str | None:
        """The same with another number of epochs; None where the line for it is no longer there."""
        body = "".join(line for line in self.text.splitlines(keepends=True) if not line.startswith(_MARK))
        body, count = _EPOCHS.subn(rf"\g<1>{epochs}", body)
        if count != 1:
            return None
        if not self.is_untouched:
            return _EPOCHS.sub(rf"\g<1>{epochs}", self.text)
        return stamped(body, self.data or "", {**self.options, "epochs": epochs})


def stamped(body: str, data: str, options: Mapping[str, Any]) -> str:
    """A config's text with its origin in a last line."""
    origin = {"data": data, "options": dict(options), "fingerprint": _hash(body)}
    return f"{body}{_MARK}{json.dumps(origin)}\n"


def located(path: Path, folder: Path) -> str:
    """A path as the config in `folder` says it, so that what is moved together stays together.

    Relative to the config: what lies in its folder, and what lies below the current directory if the config
    does too. Everything else is absolute.
    """
    path, folder, current = Path(os.path.abspath(path)), Path(os.path.abspath(folder)), Path.cwd()
    together = path.is_relative_to(current) and folder.is_relative_to(current)
    if not _AS_IS.fullmatch(str(folder)) or not (together or path.is_relative_to(folder)):
        return str(path)
    relative = Path(os.path.relpath(path, folder)).as_posix()
    return HERE if relative == "." else f"{HERE}/{relative}"


def write_whole(path: Path, text: str) -> None:
    """Under its name only once it is complete: several processes may write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()[:16]
