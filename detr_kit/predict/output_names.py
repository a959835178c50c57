"""Which file each source's picture goes to: the same in every run, so that a run can go on."""

from __future__ import annotations

import glob
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..sources import expand, is_video

_WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def plan_outputs(sources: Sequence[str | int], out: Path) -> dict[str | int | Path, Path]:
    """Each image or video behind the sources, and its output file.

    An image keeps its name; below a folder or a pattern it keeps its path from there; formats that Pillow
    does not write get `.png` added. Videos become .mp4, a camera's has the time in its name.

    Raises:
        InputError: a folder or pattern without images, or a picture that would replace its source.
    """
    plan: dict[str | int | Path, Path] = {}
    taken: Counter[Path] = Counter()
    for source in sources:
        for item in expand(source):
            if item in plan:
                continue
            name = _name(item, source)
            taken[name] += 1
            if taken[name] > 1:  # of folders that have nothing to do with each other
                name = name.with_name(f"{name.stem}_{taken[name]}{name.suffix}")
            plan[item] = out / name
            if not isinstance(item, int) and plan[item].resolve() == Path(item).resolve():
                raise InputError(f"{out}: {item} would be replaced by its picture; name another folder")
    return plan


def json_path(picture: Path) -> Path:
    """The JSON beside a picture, or the JSON lines beside a video."""
    return picture.with_name(picture.name + (".jsonl" if is_video(picture) else ".json"))


def _name(item: str | int | Path, source: str | int) -> Path:
    if isinstance(item, int):
        return Path(f"camera_{item}_{time.strftime('%Y%m%d_%H%M%S')}.mp4")
    if "://" in str(item):
        name = Path(Path(str(item).split("?", 1)[0]).name)
    else:
        name = _below(Path(item), str(source))
    if is_video(item):
        return name.with_suffix(".mp4")
    return name if name.suffix.lower() in _WRITABLE else name.with_name(f"{name.name}.png")


def _below(path: Path, source: str) -> Path:
    """The path of a file from the folder that was named, or from where a pattern begins to vary."""
    if path == Path(source):
        return Path(path.name)
    parts = Path(source).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return path.relative_to(Path(*parts[:fixed]))
