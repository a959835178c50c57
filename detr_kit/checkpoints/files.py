"""Reading and writing checkpoint files without ever running what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..data.text_file import read_text
from ..errors import InputError
from ..weights import find_published
from .find_state import find_state
from .image_size import resize_of_transformers
from .inert_pickle import StoredTensor
from .location import check_checkpoint_name, existing_checkpoint, is_elsewhere
from .pickle_file import damaged, read_pickle
from .recipe import RECIPE


@dataclass
class CheckpointFile:
    """What a file holds.

    Attributes:
        state_dict: name -> tensor.
        metadata: class names and category ids under "classes" and "category_ids", and what the weights
            themselves do not tell ("num_heads", "num_queries", "dilation", "resize", the config of a
            transform, or "config", the name of a shipped one), where the file has them. Training checkpoints
            have a "recipe", see `read_recipe`.
        notes: what has to be said, such as which of several sets of weights was taken.
    """

    state_dict: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def network_hints(self) -> dict[str, Any]:
        """What the file says that weights do not, as `Architecture.network_config` takes it."""
        keys = ("num_heads", "num_queries", "dilation")
        return {key: self.metadata[key] for key in keys if key in self.metadata}


def read_checkpoint(path: str | Path) -> CheckpointFile:
    """Read .pth, .pt, .bin, .safetensors, a folder of transformers' save_pretrained, or published weights.

    "builtin" is the checkpoint inside the package: d_fine_n_shapes, trained as `make demo` does. Of a
    training checkpoint the weights are found wherever they are (see `find_state`); nothing in it is run.

    Args:
        path: as `checkpoint_path` takes it.

    Raises:
        InputError: no such file, not a checkpoint, cut off, or without tensors; or published weights that
            cannot be fetched.
    """
    published = find_published(str(path)) if is_elsewhere(path) else None
    file = _read(existing_checkpoint(path))
    if published is not None:  # the table knows what weights do not tell, such as DC5
        file.metadata.setdefault("config", published.config)
    return file


def _read(path: Path) -> CheckpointFile:
    if path.is_dir():
        return _read_folder(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content, foreign = read_pickle(path)
    found = find_state(content)
    if found is None:
        raise InputError(_why_nothing(path, content, foreign))
    try:
        tensors = {k: t.read() if isinstance(t, StoredTensor) else t for k, t in found.state.items()}
    except Exception as error:  # whatever a damaged file leads to
        raise InputError(damaged(path)) from error
    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    metadata = _class_metadata(meta)
    if RECIPE in meta:
        metadata[RECIPE] = meta[RECIPE]
    return CheckpointFile(tensors, metadata, found.notes)


def _why_nothing(path: Path, content: Any, foreign: list[str]) -> str:
    if foreign:
        return (
            f"checkpoint {path}: it holds no tensors but `{foreign[0]}`, which could run code when loaded, "
            "so it was refused and nothing was run. Ask for a .safetensors file, or one with tensors only"
        )
    if not isinstance(content, Mapping):
        return f"checkpoint {path}: it holds a {type(content).__name__}, not a state dict"
    return f"checkpoint {path}: it holds no tensors; its keys are {list(content)[:5]}"


def write_checkpoint(path: str | Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able metadata; .safetensors holds nothing else, .pth is for older programs.

    Tensors that share their memory are stored once in both.

    Raises:
        InputError: another ending, or a place that cannot be written.
    """
    path = Path(path)
    check_checkpoint_name(path)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state_dict.items()}
    if path.suffix == ".safetensors":
        first: dict[int, str] = {}
        aliases = {k: first.setdefault(t.data_ptr(), k) for k, t in tensors.items() if t.numel()}
        aliases = {alias: name for alias, name in aliases.items() if alias != name}
        unique = {k: t for k, t in tensors.items() if k not in aliases}
        notes = {"format": "pt", "detr_kit": json.dumps(dict(metadata)), "aliases": json.dumps(aliases)}
        write_whole(path, lambda partial: save_file(unique, str(partial), notes))
    else:
        content = {"model": tensors, "meta": {"dataset_meta": dict(metadata)}}
        write_whole(path, lambda partial: torch.save(content, partial))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that has its name only when it is whole.

    Raises:
        InputError: it cannot be written; nothing is left of it then.
    """
    partial = path.with_name(f".partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        os.replace(partial, path)
    except (OSError, SafetensorError, RuntimeError) as error:  # torch and safetensors have their own
        raise InputError(f"{path}: it cannot be written: {error}") from error
    finally:
        if path.parent.is_dir():
            partial.unlink(missing_ok=True)


def _class_metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    """A training checkpoint's description of its data set, as far as it makes sense.

    mmdet writes CLASSES in older files, once beside everything else of "meta"; one class may be a bare text.
    """
    described = meta.get("dataset_meta")
    metadata = dict(described) if isinstance(described, Mapping) else {}
    names = metadata.pop("classes", metadata.pop("CLASSES", meta.get("CLASSES")))
    names = [names] if isinstance(names, str) else names
    if isinstance(names, list | tuple) and names:
        metadata["classes"] = [str(name) for name in names]
    ids = metadata.pop("category_ids", None)
    if isinstance(ids, list | tuple) and isinstance(names, list | tuple) and len(ids) == len(names):
        metadata["category_ids"] = list(ids)
    return metadata


def _read_safetensors(path: Path) -> CheckpointFile:
    try:
        with safe_open(str(path), framework="pt") as file:
            notes = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            for alias, name in json.loads(notes.get("aliases", "{}")).items():
                state[alias] = state[name]
            return CheckpointFile(state, json.loads(notes.get("detr_kit", "{}")))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"checkpoint {path}: not a whole .safetensors file ({error}); fetch or write it again"
        ) from error


def _read_folder(path: Path) -> CheckpointFile:
    """A transformers folder: config.json, and weights in one file or in several with an index."""
    if not (path / "config.json").is_file():
        raise InputError(
            f"checkpoint {path}: a folder without config.json; give a file, or a transformers folder"
        )
    try:
        config = json.loads(read_text(path / "config.json"))
    except ValueError as error:
        raise InputError(f"checkpoint {path / 'config.json'}: not valid JSON: {error}") from error
    index = next(path.glob("*.index.json"), None)
    if index is not None:
        names = sorted(set(json.loads(read_text(index))["weight_map"].values()))
    else:
        names = [n for n in ("model.safetensors", "pytorch_model.bin") if (path / n).is_file()][:1]
    if not names:
        raise InputError(
            f"checkpoint {path}: neither model.safetensors nor pytorch_model.bin is in the folder"
        )
    state: dict[str, Tensor] = {}
    for name in names:
        state |= _read(path / name).state_dict
    processor = path / "preprocessor_config.json"
    try:
        resize = resize_of_transformers(json.loads(read_text(processor))) if processor.is_file() else None
    except (ValueError, AttributeError):  # no JSON, or no object
        resize = None
    labels = {int(label): str(name) for label, name in config.get("id2label", {}).items()}
    return CheckpointFile(
        state,
        {
            "classes": [labels.get(i, "N/A") for i in range(max(labels, default=-1) + 1)],
            "num_heads": config.get("encoder_attention_heads", 8),
            "num_queries": config.get("two_stage_num_proposals") or config.get("num_queries"),
            "dilation": bool(config.get("dilation", False)),
            "resize": resize,
        },
    )
