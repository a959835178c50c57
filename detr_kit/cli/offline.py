"""`--offline`, for the commands that read checkpoints."""

from __future__ import annotations

import argparse
import os
from typing import Any


class _Offline(argparse.Action):
    """Sets what huggingface_hub and `detr_kit.weights` look at; processes of a run inherit it."""

    def __call__(self, *_: Any) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"


def add_offline_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--offline", nargs=0, action=_Offline, help="fetch nothing, as HF_HUB_OFFLINE=1 does")
