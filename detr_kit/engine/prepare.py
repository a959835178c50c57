"""Making a config ready to run: overrides, checks, paths, and what depends on the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..checkpoints import checkpoint_path
from ..config import read_config
from ..errors import InputError
from .config_check import check_config, top_level_keys


def prepare_config(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> Config:
    """Read a config, apply overrides and check it.

    Args:
        config: name, path, or a config read already.
        work_dir: where the run writes; `work_dirs/NAME` by default.
        options: dotted keys and values that override the config's.
        launcher: "none", "pytorch" or "slurm".

    Raises:
        InputError: something in the config is unknown, or missing.
    """
    name = str(config.filename if isinstance(config, Config) else config)
    config = config if isinstance(config, Config) else read_config(config)
    if options:
        _check_options(config, options, name)
        config.merge_from_dict(dict(options))
    check_config(config, name)
    if work_dir is not None:
        config.work_dir = str(work_dir)
    elif config.get("work_dir") is None:
        config.work_dir = f"work_dirs/{Path(name).stem}"
    config.launcher = launcher
    _apply_data_root(config, overridden="data_root" in (options or {}))
    _adapt_to_machine(config)
    return config


def check_paths(config: Config, *splits: str) -> None:
    """Refuse missing data and checkpoints before a model is built or weights are downloaded.

    Raises:
        InputError: names the path and the option that sets it.
    """
    for split in splits:
        loader = config.get(f"{split}_dataloader")
        if loader is None or loader.dataset.type != "CocoDataset":
            continue
        root = Path(loader.dataset.data_root).expanduser()
        for field in ("annotations", "images"):
            path = root / loader.dataset[field]
            if not path.exists():
                raise InputError(
                    f"{split}_dataloader.dataset.{field}: {path}: no such file or folder; set data_root (now "
                    f"{str(root)!r}) or this path"
                )
    if config.get("load_from") and not checkpoint_path(config.load_from).exists():
        raise InputError(f"load_from: {config.load_from}: no such file")


def _check_options(config: Config, options: Mapping[str, Any], name: str) -> None:
    """An override has to reach something that is read; otherwise it would change nothing, silently."""
    for key in options:
        parts = key.split(".")
        if len(parts) == 1 and key not in {*config, *top_level_keys()}:
            raise InputError(f"option {key}: config {name} has no such setting; give the path to it, as in "
                             "train_cfg.max_epochs or optim_wrapper.optimizer.lr")  # fmt: skip
        node: Any = config.to_dict()
        for depth, part in enumerate(parts[:-1], start=1):
            if isinstance(node, Sequence) and not isinstance(node, str) and part.isdigit():
                node = node[int(part)] if int(part) < len(node) else None
            else:
                node = node.get(part) if isinstance(node, Mapping) else None
            if node is None:
                raise InputError(f"option {key}: config {name} has no {'.'.join(parts[:depth])!r}")


def _apply_data_root(config: Config, overridden: bool) -> None:
    """Join the data sets to the top-level data_root; one given as an option wins over their own."""
    for split in ("train", "val", "test"):
        loader = config.get(f"{split}_dataloader")
        if loader is None or loader.dataset.type != "CocoDataset":
            continue
        if overridden or "data_root" not in loader.dataset:
            loader.dataset.data_root = config.get("data_root", "")
        if config.get("data_check", True) is False:
            loader.dataset.setdefault("max_left_out", 1.0)


def _adapt_to_machine(config: Config) -> None:
    """What depends on the machine rather than on the experiment."""
    if not torch.cuda.is_available():
        config.env_cfg.dist_cfg.backend = "gloo"
    for split in ("train", "val", "test"):
        loader = config.get(f"{split}_dataloader")
        if loader is not None:
            loader.setdefault("pin_memory", torch.cuda.is_available())
            loader.num_workers = min(loader.get("num_workers", 0), os.cpu_count() or 1)
            if not loader.num_workers:
                loader.persistent_workers = False
    if find_spec("tensorboard") is None:
        return
    backends = config.visualizer.setdefault("vis_backends", [])
    if not any(backend["type"] == "TensorboardVisBackend" for backend in backends):
        backends.append(dict(type="TensorboardVisBackend"))
