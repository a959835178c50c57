"""Reading and writing checkpoint files without ever running what is in them."""

from __future__ import annotations

import argparse
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError

# Plain data that known formats store beside tensors: official checkpoints keep the command line's arguments.
_HARMLESS: list = [argparse.Namespace]


@dataclass
class CheckpointFile:
    """What a file holds.

    Attributes:
        state_dict: name -> tensor.
        metadata: class names and category ids under "classes" and "category_ids", where the file has them.
    """

    state_dict: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> CheckpointFile:
    """Read .pth, .pt or .safetensors.

    Raises:
        InputError: no such file, not a checkpoint, cut off, or holding objects that would run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"checkpoint {path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_pickle(path)
    if not isinstance(content, Mapping):
        raise InputError(f"checkpoint {path}: it holds a {type(content).__name__}, not a state dict")
    metadata = content.get("meta")
    dataset_meta = metadata.get("dataset_meta") if isinstance(metadata, Mapping) else None
    state = next(
        (content[k] for k in ("state_dict", "model") if isinstance(content.get(k), Mapping)), content
    )
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"checkpoint {path}: it holds no tensors; its keys are {list(content)[:5]}")
    return CheckpointFile(tensors, dict(dataset_meta or {}))


def write_safetensors(
    path: str | Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors and JSON-able metadata."""
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state_dict.items()}
    save_file(tensors, str(path), {"format": "pt", "detr_kit": json.dumps(dict(metadata))})


def _read_safetensors(path: Path) -> CheckpointFile:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("detr_kit", "{}"))
            return CheckpointFile({key: file.get_tensor(key) for key in file.keys()}, metadata)  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"checkpoint {path}: not a whole .safetensors file ({error}); fetch or write it again"
        ) from error


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        with path.open("rb") as file:
            is_bare_pickle = file.read(1) == b"\x80"
        if unsafe or is_bare_pickle:
            what = f"`{unsafe.group(1)}`" if unsafe else "pickle operations torch's safe loader does not know"
            raise InputError(
                f"checkpoint {path}: it holds {what}, which could run code when loaded, so it was refused "
                "and nothing was run. Ask for a .safetensors file, or one with tensors only"
            ) from error
        raise InputError(f"checkpoint {path}: damaged or no PyTorch file; fetch it again") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        size = path.stat().st_size
        raise InputError(
            f"checkpoint {path}: cut off or no PyTorch checkpoint ({size} bytes); fetch it again"
        ) from error
