"""The arguments of training on a data set without a config."""

from __future__ import annotations

import argparse
from typing import Any

from ..checkpoints.location import existing_checkpoint
from ..config import find_config
from ..defaults import MODEL
from ..errors import InputError
from ..given_paths import data_paths
from ..number_ranges import check_above_zero

_FIELDS = (
    "model", "images", "checkpoint", "from_scratch", "name", "epochs", "batch_size", "image_size", "lr",
    "preset", "recipe", "memory_gb",
)  # fmt: skip
_INSTEAD = {
    "checkpoint": "--cfg-options load_from=FILE",
    "name": "--work-dir work_dirs/NAME",
    "epochs": "--cfg-options train_cfg.max_epochs=N",
    "batch_size": "--cfg-options train_dataloader.batch_size=N",
    "lr": "--cfg-options optim_wrapper.optimizer.lr=LR",
}


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training on a data set without a config, which is then written for it")
    group.add_argument(
        "--data", metavar="PATH", help="COCO JSON, Pascal VOC or YOLO: a folder, a JSON file or a data.yaml"
    )
    group.add_argument(
        "--model",
        metavar="CONFIG",
        help=f"the config to start from (the checkpoint's; without one {MODEL})",
    )
    group.add_argument(
        "--images", metavar="DIR", help="the pictures, where they are not beside the annotations"
    )
    group.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="weights to start from, of any known format; also an address, an id on the Hugging Face hub, a "
        "name of `detr-kit models` (published weights of the model, where it has some)",
    )
    group.add_argument(
        "--from-scratch",
        action="store_const",
        const=True,
        help="start without published weights, with the model's backbone",
    )
    group.add_argument("--name", help="of the run's folder in work_dirs (MODEL_SET)")
    group.add_argument("--epochs", type=int, metavar="N", help="(the preset's)")
    group.add_argument(
        "--batch-size",
        type=_number_or_auto,
        metavar="N",
        help="pictures in a batch (the preset's); auto: as much of it as memory has room for, the rest "
        "accumulated",
    )
    group.add_argument(
        "--memory-gb", type=float, metavar="GB", help="that --batch-size auto may take (most of what is free)"
    )
    group.add_argument(
        "--image-size",
        type=_number_or_auto,
        metavar="N",
        help="short side in pixels (the model's); auto: by the size of the objects",
    )
    group.add_argument("--lr", type=float, help="learning rate (the model's)")
    group.add_argument(
        "--preset",
        choices=("small", "recipe"),
        help="for small sets or the model's recipe (by the number of pictures)",
    )
    group.add_argument(
        "--recipe",
        choices=("steps", "strong", "gentle", "balanced", "deim"),
        help="how to augment, schedule and average: docs/training.md, Recipes (steps)",
    )


def data_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that were given, for `fine_tune`; empty where a config was given instead.

    Raises:
        InputError: both were given, or neither, or an argument that a config decides; a number out of its
            range, or a file that is not there.
    """
    given = {name: getattr(options, name) for name in _FIELDS if getattr(options, name) is not None}
    if options.data is not None:
        if options.config is not None:
            raise InputError(f"config {options.config} and --data {options.data}: give one of them")
        for name in ("epochs", "batch_size", "image_size", "lr", "memory_gb"):
            if getattr(options, name) != "auto":
                check_above_zero(f"--{name.replace('_', '-')}", getattr(options, name))
        if options.model is not None:
            find_config(options.model)
        if options.checkpoint is not None:
            existing_checkpoint(options.checkpoint, "--checkpoint")
        data_paths(options.data, options.images)
        return {"data": options.data, **given}
    if options.config is None:
        raise InputError("nothing to train: give a config, or --data PATH")
    if given:
        name = next(iter(given))
        instead = f"; with a config: {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise InputError(f"--{name.replace('_', '-')} goes with --data{instead}")
    return {}


def _number_or_auto(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: it must be a number, or auto") from None
