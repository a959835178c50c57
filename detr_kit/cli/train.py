"""`detr-kit train`"""

from __future__ import annotations

import argparse
from dataclasses import fields

from ..config import find_config
from ..defaults import MODEL
from ..features import DTYPES, Features
from ..given_paths import check_resumed
from .data_arguments import add_data_arguments, data_arguments
from .run_arguments import add_run_arguments, run_arguments, say


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a config, or on a data set")
    parser.add_argument("config", nargs="?", help=f"a config's name ({MODEL}) or path")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="go on from the newest checkpoint of the work directory, or from a given one",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from the recipe's batch size to the real one",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at a single annotation that cannot be used, not only from 1 %% of them on",
    )
    add_run_arguments(parser)
    add_data_arguments(parser)
    _add_features(parser.add_argument_group("features", "what a run can do beyond its config's recipe"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    data = data_arguments(options)
    features = Features(**{field.name: getattr(options, field.name) for field in fields(Features)})
    features.check()
    check_resumed(options.resume)
    if not data:
        find_config(options.config)
    say(f"reading {options.data or options.config} …")

    from ..engine import train
    from ..fine_tune import fine_tune

    arguments = run_arguments(options)
    if options.strict:
        arguments["options"] = {**(arguments["options"] or {}), "data_check": "strict"}
    (fine_tune if data else train)(
        **(data or {"config": options.config}),
        resume=options.resume,
        features=features,
        auto_scale_lr=options.auto_scale_lr,
        **arguments,
    )


def _add_features(group: argparse._ArgumentGroup) -> None:
    """One flag for each field of engine.Features, by the same name."""
    add = group.add_argument
    add("--amp", nargs="?", const="bf16", choices=tuple(DTYPES), help="mixed precision (bf16)")
    add("--ema", action="store_true", help="average the weights over the run; validate with and save those")
    add("--accumulate", type=int, metavar="N", help="take a step every N batches")
    add("--clip-grad", type=float, metavar="NORM", help="largest norm of the gradients; 0 does not clip")
    add("--checkpointing", action="store_true", help="recompute activations: less memory, more time")
    add("--compile", action="store_true", help="torch.compile the network")
    add("--freeze-backbone", action="store_true", help="train everything but the backbone")
    add("--warmup", type=int, metavar="N", help="let the learning rate rise over N iterations")
    add("--early-stop", type=int, metavar="N", help="end after N validations without a better AP")
    add("--class-balance", type=float, metavar="SHARE", help="draw images of rarer classes more often")
    add("--cache-gb", type=float, metavar="GB", help="keep decoded images in memory, up to GB")
    add("--skip-unreadable", action="store_true", help="replace images that cannot be read, and count them")
    add("--seed", type=int, metavar="N", help="of everything random")
    add("--wandb", action="store_true", help="log to Weights & Biases too")
