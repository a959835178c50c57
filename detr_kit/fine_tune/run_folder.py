"""Where a run on a data set writes: a folder that is named after both, and nobody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ..engine.hooks.checkpoint import last_checkpoint
from ..errors import InputError
from .written_config import WrittenConfig, write_whole

CONFIG = "config.py"
# Folders that every data set has: their parent's name says more.
_NO_NAME = {
    "annotations", "annotation", "annots", "anns", "ann", "labels", "label", "xml", "xmls", "json",
    "images", "image", "imgs", "img", "pics", "pictures", "photos", "jpegimages", "imagesets", "main",
    "data", "dataset", "datasets", "train", "training", "val", "valid", "validation", "test", "testing",
    "train2017", "val2017",
}  # fmt: skip


def set_name(path: Path) -> str:
    """A data set's name: that of the folder which is its own."""
    path = path.expanduser().absolute()
    folder = path if path.is_dir() else path.parent
    own = (p.name for p in (folder, *folder.parents) if p.name and p.name.lower() not in _NO_NAME)
    return next(own, folder.name) or "data"


def first_folder(
    data: Path, model: str | Path, name: str | None = None, work_dir: str | Path | None = None
) -> Path:
    """Where a run goes if nothing is in the way: `work_dirs/MODEL_SET`, `work_dirs/NAME`, or the given one.

    Raises:
        InputError: a name that is a path.
    """
    if name is not None and work_dir is not None:
        raise InputError(f"--name {name} and --work-dir {work_dir}: give one of them")
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise InputError(f"--name {name}: a plain name, of a folder in work_dirs; --work-dir takes a path")
    return Path(work_dir or Path("work_dirs", name or f"{Path(model).stem}_{set_name(data)}")).absolute()


def folder_to_write(
    first: Path, is_given: bool, data: str, text_in: Callable[[Path], str]
) -> tuple[Path, WrittenConfig | None]:
    """The first of `first`, `first_2`, `first_3`, … that is free for a run with this config.

    A config that was only written, of a run without a checkpoint, gives way. One of another set, or of a run
    that has begun, stays: the new run gets the next number, or, in a folder that was given, its place.

    Args:
        is_given: the folder was named by its path: no other is taken.
        data: which data set; text_in: folder -> the config's text there.

    Returns:
        The folder, and the config in it whose place is to be taken after it was put aside.

    Raises:
        InputError: a config that may have been edited is in the way.
    """
    for folder in _numbered(first):
        path = folder / CONFIG
        if not path.is_file():
            return folder, None
        written = WrittenConfig.read(path)
        if written.text == text_in(folder):
            return folder, None
        if not is_given and written.data not in (None, data):
            continue
        if not written.is_untouched:
            raise InputError(
                f"{path}: there is another config already, and it may have been edited. To use it: "
                f"detr-kit train {path}; to write this one choose another --name or --work-dir, or remove "
                "the file"
            )
        if last_checkpoint(folder) is None:
            return folder, None
        if is_given:
            return folder, written
    raise AssertionError("there is always a next number")


def folder_to_resume(first: Path, is_given: bool, data: str) -> Path | None:
    """The newest run of a data set, among those that `folder_to_write` gives; None where there is none."""
    found = None
    for folder in _numbered(first):
        if not (folder / CONFIG).is_file():
            return found
        if is_given:
            return folder
        if WrittenConfig.read(folder / CONFIG).data in (None, data):
            found = folder
    return found


def put_aside(folder: Path, written: WrittenConfig) -> Path:
    """Keep an earlier run's config beside the new one; its name follows from what is in it."""
    path = folder / f"config_{hashlib.sha256(written.text.encode()).hexdigest()[:8]}.py"
    write_whole(path, written.text)
    return path


def option_text(options: Mapping[str, Any]) -> str:
    """Options as a command has them."""
    flags = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return " ".join(flag if value is True else f"{flag} {value}" for flag, value in flags.items())


def _numbered(first: Path) -> Iterator[Path]:
    yield first
    yield from (first.with_name(f"{first.name}_{number}") for number in count(2))
