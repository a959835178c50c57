"""The checkpoint that ships with the package: a small detector, trained as `make demo` does."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from .files import read_checkpoint, write_checkpoint
from .wrapper import strip_wrapper


def write_builtin(
    path: str | Path,
    trained: str | Path,
    config: str,
    figures: Mapping[str, float],
    command: str = "make demo",
) -> None:
    """Write a trained checkpoint as one to ship: float16 weights, and where they come from.

    Args:
        path: .safetensors.
        trained: the checkpoint of a run.
        config: name of the config it was trained with.
        figures: COCO figures on the held-out set, kept in the metadata.
        command: what trained it, kept as well.
    """
    file = read_checkpoint(trained)
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in strip_wrapper(file.state_dict).items()
    }
    metadata = {key: file.metadata[key] for key in ("classes", "category_ids")}
    metadata |= {
        "config": config,
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        **{key: round(value, 4) for key, value in figures.items()},
    }
    write_checkpoint(path, state, metadata)
