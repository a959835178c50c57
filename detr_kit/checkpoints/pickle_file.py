"""A .pth file, by torch's safe loader, or by ours where it holds more than that knows."""

from __future__ import annotations

import argparse
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .inert_pickle import read_inert

# Plain data that known formats store beside tensors: official checkpoints keep the command line's arguments.
_HARMLESS: list = [argparse.Namespace]


def read_pickle(path: Path) -> tuple[Any, list[str]]:
    """What a file of torch.save holds, and the names in it that lead to code; none of that is run.

    Returns:
        Plain values and tensors, and no names; or what `read_inert` gives.

    Raises:
        InputError: it is damaged, cut off, or no PyTorch file.
    """
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's version
            return torch.load(path, map_location="cpu", weights_only=True), []
    except pickle.UnpicklingError as error:
        return _read_inert(path, error)
    except Exception as error:  # torch has no one error for a file that is none of its own
        raise InputError(damaged(path)) from error


def damaged(path: Path) -> str:
    """The message of a file that is there and cannot be read."""
    size = path.stat().st_size
    return f"checkpoint {path}: cut off or no PyTorch checkpoint ({size} bytes); fetch it again"


def _read_inert(path: Path, refusal: pickle.UnpicklingError) -> tuple[Any, list[str]]:
    try:
        content = read_inert(path)
    except Exception as error:  # a stranger's pickle can lead to any
        with path.open("rb") as file:
            is_bare_pickle = file.read(1) == b"\x80"
        if is_bare_pickle:
            raise InputError(
                f"checkpoint {path}: it holds pickle operations of no PyTorch file, which could run code "
                "when loaded, so it was refused and nothing was run. Ask for a .safetensors file"
            ) from refusal
        raise InputError(f"checkpoint {path}: damaged or no PyTorch file; fetch it again") from error
    return content.value, content.foreign
