"""`detr-kit test`"""

from __future__ import annotations

import argparse

from .run_arguments import add_run_arguments, run_arguments


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("test", help="evaluate a checkpoint with the COCO metric")
    parser.add_argument("config", help="a config's name or path")
    parser.add_argument("checkpoint", help=".pth or .safetensors")
    parser.add_argument("--out", metavar="FILE", help="write the detections as COCO JSON")
    parser.add_argument("--pictures", metavar="DIR", help="draw the confusion matrix and the worst images")
    add_run_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..engine import evaluate

    evaluate(
        options.config,
        options.checkpoint,
        out=options.out,
        pictures=options.pictures,
        **run_arguments(options),
    )
