"""The arguments that training and evaluation share."""

from __future__ import annotations

import argparse
from typing import Any

from ..first_process import is_first_process
from .offline import add_offline_argument


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work-dir", metavar="DIR", help="logs and checkpoints (work_dirs/CONFIG)")
    add_overrides(parser, "train_dataloader.batch_size=4 data_root=/data/coco …")
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="how several processes were started (torchrun: pytorch)",
    )
    add_offline_argument(parser)


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        type=_override,
        metavar="KEY=VALUE",
        help=f"override the config: {example}",
    )


def _override(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r}: it must be KEY=VALUE")
    for opening, closing in ("()", "[]"):
        if text.count(opening) != text.count(closing):
            raise argparse.ArgumentTypeError(f"{text!r}: {opening!r} and {closing!r} do not match")
    return text


def overrides(options: argparse.Namespace) -> dict[str, Any] | None:
    """The overrides by key, read as mmengine reads them; it is imported when all arguments are judged."""
    if options.cfg_options is None:
        return None
    from mmengine.config import DictAction

    read = argparse.Namespace(cfg_options=None)
    action = DictAction(["--cfg-options"], "cfg_options")
    action(argparse.ArgumentParser(), read, options.cfg_options)
    return read.cfg_options


def run_arguments(options: argparse.Namespace) -> dict[str, Any]:
    return dict(work_dir=options.work_dir, options=overrides(options), launcher=options.launcher)


def say(what: str) -> None:
    """Before the imports, which take long on a busy machine; in a run of several processes once."""
    if is_first_process():
        print(what, flush=True)
