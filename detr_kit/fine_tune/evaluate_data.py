"""Evaluating a checkpoint on a data set, without a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..categories import UNUSED
from ..checkpoints import (
    CheckpointFile,
    categories_of,
    detect_format,
    read_checkpoint,
    read_recipe,
    strip_wrapper,
)
from ..data.formats import find_data
from ..engine.run import evaluate
from ..evaluation.known_classes import with_known_classes
from .base import base_of
from .run_folder import set_name
from .written_config import write_whole


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
    part = source.split_to_measure(split)
    content = part.read().refuse_problems(part.source)
    folder = Path(work_dir or f"work_dirs/{set_name(source.path)}_test").absolute()
    settings = _model(file, str(checkpoint), config)
    known = categories_of(file, settings.model.network.num_classes)
    where = str(source.path)
    matched = content if known is None else with_known_classes(content, known, where, str(checkpoint))
    annotations = part.source.absolute()
    if source.format != "coco" or matched is not content:
        annotations = folder / "data" / f"{part.name}.json"
        write_whole(annotations, json.dumps(matched))
    dataset = settings.test_dataloader.dataset
    dataset.update(data_root="", annotations=str(annotations), images=str(part.images.absolute()))
    dataset.labels = "category_id" if known is not None and UNUSED in known.names else "contiguous"
    print(f"{source.path}: its {part.name} split, {len(content['images'])} pictures", flush=True)
    return evaluate(settings, checkpoint, work_dir=folder, **arguments)


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
