"""`detr-kit test`"""

from __future__ import annotations

import argparse

from ..checkpoints.location import existing_checkpoint
from ..config import find_config
from ..errors import InputError
from ..given_paths import data_paths
from .run_arguments import add_run_arguments, run_arguments, say


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "test",
        help="evaluate a checkpoint with the COCO metric",
        usage="%(prog)s CONFIG CHECKPOINT [options]\n       %(prog)s --data PATH CHECKPOINT [options]",
    )
    parser.add_argument(
        "model",
        nargs="+",
        metavar="[CONFIG] CHECKPOINT",
        help="a config's name or path, and .pth or .safetensors; with --data a checkpoint needs no config",
    )
    group = parser.add_argument_group("on a data set, without a config")
    group.add_argument("--data", metavar="PATH", help="COCO JSON, Pascal VOC or YOLO, as train takes it")
    group.add_argument("--split", choices=("train", "val", "test"), help="(test, else val, else all)")
    group.add_argument("--images", metavar="DIR", help="the pictures, where they are not beside")
    parser.add_argument("--out", metavar="FILE", help="write the detections as COCO JSON")
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        help="draw the confusion matrix and the worst images; say what AP is lost to",
    )
    parser.add_argument(
        "--metric-backend",
        choices=("auto", "hotcoco", "pycocotools"),
        help="who computes the figures, which are the same (hotcoco where it is installed: seconds sooner)",
    )
    add_run_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    *config, checkpoint = options.model
    if len(config) > 1:
        raise InputError(
            f"{' '.join(options.model)}: give a config and a checkpoint, or --data and a checkpoint"
        )
    if options.data is None and not config:
        raise InputError(f"{checkpoint}: on what? Give a config before it, or a data set with --data PATH")
    for name in ("split", "images"):
        if options.data is None and getattr(options, name) is not None:
            raise InputError(f"--{name} goes with --data; a config names its data itself")
    if config:
        find_config(config[0])
    if options.data is not None:
        data_paths(options.data, options.images)
    existing_checkpoint(checkpoint)  # last: it may have to be fetched
    say(f"reading {checkpoint} …")

    from ..engine import evaluate
    from ..fine_tune import evaluate_data

    arguments = {"out": options.out, "pictures": options.pictures, **run_arguments(options)}
    arguments["metric_backend"] = options.metric_backend
    if options.data is None:
        evaluate(config[0], checkpoint, **arguments)
        return
    arguments |= {"split": options.split, "images": options.images, "config": config[0] if config else None}
    evaluate_data(options.data, checkpoint, **arguments)
