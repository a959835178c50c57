"""The data set that a model is fine-tuned on: its splits as a config names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..categories import Categories
from ..check.list_findings import objects_per_image
from ..data.annotation_table import MAX_LEFT_OUT, annotation_table
from ..data.category_matching import match_categories
from ..data.formats import SPLITS, DataSource, hold_out, look_alikes_of
from ..errors import InputError

_HELD_OUT = 0.2


@dataclass(frozen=True)
class Part:
    """A split as the config names it; a converted one's annotation file is yet to be written.

    Attributes:
        annotations: the file; a converted one's is relative to the run's folder.
    """

    annotations: Path
    images: Path
    data: dict[str, Any]
    is_converted: bool = False


def identity(source: DataSource) -> str:
    return str(source.path.absolute())


def converted(parts: Mapping[str, Part]) -> dict[Path, dict[str, Any]]:
    return {part.annotations: part.data for part in parts.values() if part.is_converted}


def parts_of(source: DataSource, max_left_out: float = MAX_LEFT_OUT) -> tuple[dict[str, Part], list[str]]:
    """The splits to train, validate and test on, and what to tell of them.

    Args:
        max_left_out: see `Content.refuse_problems`.
    """
    contents = {name: split.read() for name, split in source.splits.items()}
    whole = {
        name: content.refuse_problems(source.splits[name].source, max_left_out)
        for name, content in contents.items()
    }
    told = list(dict.fromkeys(t for c in contents.values() for t in (*c.warnings, *c.notes)))
    first = "train" if "train" in whole else "all"
    if first not in whole:
        raise InputError(
            f"{source.path}: a {', '.join(whole)} split and none to train on; give a train split"
        )
    if not whole[first]["images"]:
        raise InputError(f"{source.path}: no picture in the {first} split")
    written: dict[str, dict[str, Any]] = {}
    if "val" not in whole:
        alike = look_alikes_of(whole[first], source.splits[first].images)
        written["train"], written["val"] = hold_out(whole[first], _HELD_OUT, groups=alike.groups)
        count, total = len(written["val"]["images"]), len(whole[first]["images"])
        told.append(f"no validation split: {count} of {total} pictures are held out of training (seed 0)")
        told.append(f"{alike.note}; those of one group stay on one side" if alike.has_groups else alike.note)
    if source.format != "coco":
        written = {name: data for name, data in whole.items() if name != "all"} | written
    parts: dict[str, Part] = {}
    for name in SPLITS:
        images = source.splits[name if name in source.splits else first].images.absolute()
        if name in written:
            parts[name] = Part(Path("data", f"{name}.json"), images, written[name], is_converted=True)
        elif name in whole:
            parts[name] = Part(source.splits[name].source.absolute(), images, whole[name])
    parts.setdefault("test", parts["val"])
    return parts, told


def class_names_of(parts: Mapping[str, Part], source: DataSource) -> list[str]:
    """The training split's names in the order of their ids; the others' are matched with them by name.

    Raises:
        InputError: no class, or one with objects in another split that the training split does not have.
    """
    learned = Categories.contiguous(parts["train"].data["categories"])
    if not learned.names:
        raise InputError(f"{source.path}: no class is named, so there is nothing to learn")
    for name, part in parts.items():
        used = {int(annotation["category_id"]) for annotation in part.data["annotations"]}
        own = Categories.contiguous(part.data["categories"])
        match_categories(own, learned, used, f"{source.path}, the {name} split", "the train split")
    return list(learned.names)


def most_objects(part: Part) -> int:
    table = annotation_table(str(part.annotations), part.data)
    return int(objects_per_image(table).max(initial=0))
