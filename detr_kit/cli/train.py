"""`detr-kit train`"""

from __future__ import annotations

import argparse

from .run_arguments import add_run_arguments, run_arguments


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a config")
    parser.add_argument("config", help="a config's name (deformable_detr_r50) or path")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="go on from the newest checkpoint of the work directory, or from a given one",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision, bfloat16")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from the recipe's batch size to the real one",
    )
    add_run_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..engine import train

    train(
        options.config,
        resume=options.resume,
        amp=options.amp,
        auto_scale_lr=options.auto_scale_lr,
        **run_arguments(options),
    )
