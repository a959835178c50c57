"""`detr-kit train`"""

from __future__ import annotations

import argparse

from .data_arguments import add_data_arguments, data_arguments
from .run_arguments import add_run_arguments, run_arguments


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a config, or on a data set")
    parser.add_argument("config", nargs="?", help="a config's name (deformable_detr_r50) or path")
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
    add_data_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..engine import fine_tune, train

    data = data_arguments(options)
    (fine_tune if data else train)(
        **(data or {"config": options.config}),
        resume=options.resume,
        amp=options.amp,
        auto_scale_lr=options.auto_scale_lr,
        **run_arguments(options),
    )
