"""Which file each source's picture goes to: the same in every run, so that a run can go on."""

from __future__ import annotations

import glob
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import InputError
from ..sources import expand, is_live, is_single, is_video, is_video_name, path_of

_WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def plan_outputs(sources: Sequence[str | int], out: Path) -> dict[str | int | Path, Path]:
    """Each image or video behind the sources, and its output file.

    An image keeps its name; below a folder or a pattern it keeps its path from there; formats that Pillow
    does not write get `.png` added. Videos become .mp4, those of cameras and streams have the time in their
    name.

    Raises:
        InputError: a folder or pattern without images, or a picture that would replace its source.
    """
    plan: dict[str | int | Path, Path] = {}
    taken: Counter[Path] = Counter()
    for source in sources:
        for item in expand(source):
            if item in plan or _is_earlier_picture(item, source, out):
                continue
            name = _name(item, source)
            taken[name] += 1
            if taken[name] > 1:  # of folders that have nothing to do with each other
                name = name.with_name(f"{name.stem}_{taken[name]}{name.suffix}")
            plan[item] = out / name
    originals = {Path(item).resolve() for item in plan if not isinstance(item, int)}
    for item, picture in plan.items():
        if picture.resolve() in originals:
            raise InputError(f"{out}: the picture of {item} would replace a source; name another folder")
    return plan


def _is_earlier_picture(item: str | int | Path, source: str | int, out: Path) -> bool:
    """Whether a folder or pattern found what an earlier run wrote into a folder below it."""
    if is_single(source):
        return False
    root, out = _root(str(source)).resolve(), out.resolve()
    return root in out.parents and out in Path(str(item)).resolve().parents


def json_path(picture: Path) -> Path:
    """The JSON beside a picture, or the JSON lines beside a video."""
    return picture.with_name(picture.name + (".jsonl" if is_video_name(picture) else ".json"))


def _name(item: str | int | Path, source: str | int) -> Path:
    if isinstance(item, int):
        return Path(f"camera_{item}_{_now()}.mp4")
    if "://" in str(item):
        name = Path(Path(path_of(str(item))).name or urlsplit(str(item)).hostname or "stream")
    else:
        name = _below(Path(item), str(source))
    if is_live(item):  # never the same twice
        return Path(f"{name.stem}_{_now()}.mp4")
    if is_video(item):
        return name.with_suffix(".mp4")
    return name if name.suffix.lower() in _WRITABLE else name.with_name(f"{name.name}.png")


def _now() -> str:
    return time.strftime("%Y%m%d_%H%M%S")


def _below(path: Path, source: str) -> Path:
    """The path of a file from the folder that was named, or from where a pattern begins to vary."""
    return Path(path.name) if path == Path(source) else path.relative_to(_root(source))


def _root(source: str) -> Path:
    """The part of a folder or pattern that does not vary."""
    parts = Path(source).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])
