"""Reading a text file of a user: UTF-8 with or without a byte-order mark, never the machine's locale."""

from __future__ import annotations

import codecs
from pathlib import Path

from ..errors import InputError

# Programs on Windows write these with a mark that says so; longest first, for one begins as the other.
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}


def read_text(path: str | Path) -> str:
    """The text of a file, its byte-order mark removed and its line ends made `\\n`.

    Raises:
        InputError: no such file, or bytes of another encoding; it names the line.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        shown = data[max(error.start - 20, 0) : error.start + 20].decode("ascii", "replace").strip()
        raise InputError(
            f"{path}, line {line}: not {encoding.upper()} text ({shown!r}); save the file as UTF-8, for "
            "example with: iconv -f latin1 -t utf-8 FILE > NEW"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
