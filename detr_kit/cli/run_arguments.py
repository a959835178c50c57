"""The arguments that training and evaluation share."""

from __future__ import annotations

import argparse
from typing import Any

from ..first_process import is_first_process


class Overrides(argparse.Action):
    """mmengine's DictAction, which is imported where it is needed only: that takes seconds."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from mmengine.config import DictAction

        action = DictAction(self.option_strings, self.dest, nargs=self.nargs)
        action(parser, namespace, values, option_string)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work-dir", metavar="DIR", help="logs and checkpoints (work_dirs/CONFIG)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=Overrides,
        metavar="KEY=VALUE",
        help="override the config: train_dataloader.batch_size=4 data_root=/data/coco …",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="how several processes were started (torchrun: pytorch)",
    )


def run_arguments(options: argparse.Namespace) -> dict[str, Any]:
    return dict(work_dir=options.work_dir, options=options.cfg_options, launcher=options.launcher)


def say(what: str) -> None:
    """Before the imports, which take long on a busy machine; in a run of several processes once."""
    if is_first_process():
        print(what, flush=True)
