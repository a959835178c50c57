"""Evaluating a checkpoint on a data set, without a config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..categories import UNUSED, Categories
from ..checkpoints import (
    CheckpointFile,
    categories_of,
    detect_format,
    read_checkpoint,
    read_recipe,
    strip_wrapper,
)
from ..data.formats import DataSource, Split, find_data
from ..engine.run import evaluate
from ..errors import InputError
from .base import base_of
from .run_folder import set_name
from .written_config import write_whole

_ORDER = ("test", "val", "all", "train")


def evaluate_data(
    data: str | Path,
    checkpoint: str | Path,
    *,
    config: str | Path | None = None,
    split: str | None = None,
    images: str | Path | None = None,
    work_dir: str | Path | None = None,
    **arguments: Any,
) -> dict[str, float]:
    """Evaluate a checkpoint on a data set of any format, as the model that the checkpoint says it is.

    Classes are matched by name. Objects of a class that the checkpoint does not know are left out, and so
    are, in the mean, classes that the set does not have; both are named.

    Args:
        data, images: as `find_data` takes them.
        config: of the model, for a checkpoint that does not tell.
        split: "train", "val", "test"; by default the first of test, val, the whole set, train that there is.
        work_dir: `work_dirs/SET_test` by default.
        arguments: of `evaluate`.

    Returns:
        As `evaluate`.

    Raises:
        InputError: no such split, no class in common, or as `evaluate`.
    """
    file = read_checkpoint(checkpoint)
    source = find_data(data, images)
    part = _split(source, split)
    content = part.read().refuse_problems(part.source)
    folder = Path(work_dir or f"work_dirs/{set_name(source.path)}_test").absolute()
    settings = _model(file, str(checkpoint), config)
    known = categories_of(file, settings.model.network.num_classes)
    matched = content if known is None else _matched(content, known, source.path, str(checkpoint))
    annotations = part.source.absolute()
    if source.format != "coco" or matched is not content:
        annotations = folder / "data" / f"{part.name}.json"
        write_whole(annotations, json.dumps(matched))
    dataset = settings.test_dataloader.dataset
    dataset.update(data_root="", annotations=str(annotations), images=str(part.images.absolute()))
    dataset.labels = "category_id" if known is not None and UNUSED in known.names else "contiguous"
    print(f"{source.path}: its {part.name} split, {len(content['images'])} pictures", flush=True)
    return evaluate(settings, checkpoint, work_dir=folder, **arguments)


def _split(source: DataSource, name: str | None) -> Split:
    if name is None:
        return next(source.splits[name] for name in _ORDER if name in source.splits)
    if name not in source.splits:
        raise InputError(f"--split {name}: {source.path} has {', '.join(source.splits)}")
    return source.splits[name]


def _model(file: CheckpointFile, checkpoint: str, config: str | Path | None) -> Config:
    """The network, postprocessor and test transforms of a checkpoint in a config to evaluate with."""
    base = base_of(None if config is None else str(config), checkpoint, file)
    settings, recipe = base.config, read_recipe(file.metadata)
    if config is None and recipe is not None:
        settings.model.network = ConfigDict(recipe["network"])
        settings.model.postprocessor = ConfigDict(recipe["postprocessor"])
        settings.test_dataloader.dataset.transforms = recipe["transforms"]
    found = detect_format(strip_wrapper(file.state_dict)).architecture
    settings.model.network.num_classes = found.num_classes
    if found.num_queries is not None:
        settings.model.network.num_queries = found.num_queries
    return settings


def _matched(content: dict[str, Any], known: Categories, path: Path, checkpoint: str) -> dict[str, Any]:
    """The set with the checkpoint's classes: it is left alone where it has them in their order."""
    own = sorted(content["categories"], key=lambda category: int(category["id"]))
    names = {int(category["id"]): str(category["name"]) for category in own}
    if tuple(names.values()) == known.names:
        return content
    id_of = {known.names[label]: category for category, label in known.label_of_id.items()}
    if not id_of.keys() & set(names.values()):
        raise InputError(
            f"{path}: none of its classes {list(names.values())} is one of {checkpoint}, which knows "
            f"{list(id_of)}; classes are matched by name"
        )
    kept = [a for a in content["annotations"] if names.get(int(a["category_id"])) in id_of]
    _tell(names, id_of, len(content["annotations"]) - len(kept))
    return {
        **content,
        "categories": [{"id": category, "name": name} for name, category in id_of.items()],
        "annotations": [{**a, "category_id": id_of[names[int(a["category_id"])]]} for a in kept],
    }


def _tell(names: Mapping[int, str], id_of: Mapping[str, int], left_out: int) -> None:
    unknown = [name for name in names.values() if name not in id_of]
    missing = [name for name in id_of if name not in names.values()]
    print("the classes of the set are matched with the checkpoint's by name", flush=True)
    if unknown:
        print(f"not known to the checkpoint, {left_out} objects left out: {', '.join(unknown)}", flush=True)
    if missing:
        print(f"not in this set, and so not in the mean: {', '.join(missing)}", flush=True)
