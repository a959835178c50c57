"""The arguments that training and evaluation share."""

from __future__ import annotations

import argparse
from typing import Any

from mmengine.config import DictAction


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work-dir", metavar="DIR", help="logs and checkpoints (work_dirs/CONFIG)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
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
