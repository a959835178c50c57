"""Training and testing a config: what `tools/train.py` and `tools/test.py` do."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..checkpoints import load_checkpoint
from ..config import read_config
from ..errors import InputError
from ..registry import RUNNERS
from .config_check import check_config


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
    _apply_data_root(config)
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
    if config.get("load_from") and not Path(config.load_from).is_file():
        raise InputError(f"load_from: {config.load_from}: no such file")


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    amp: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    auto_scale_lr: bool = False,
) -> Runner:
    """Train a config, validating as it says.

    Args:
        config, work_dir, options, launcher: as in `prepare_config`.
        resume: True for the newest checkpoint of the work directory, or a training checkpoint's path.
        amp: train in bfloat16 (`optim_wrapper.dtype` of the config for float16).
        auto_scale_lr: scale the learning rate from the recipe's batch size to the real one.

    Returns:
        The runner, when training is over.

    Raises:
        InputError: bad config, data or checkpoint.
    """
    config = prepare_config(config, work_dir=work_dir, options=options, launcher=launcher)
    if amp:
        config.optim_wrapper.type = "AmpOptimWrapper"
    if auto_scale_lr:
        config.auto_scale_lr.enable = True
    config.resume = bool(resume)
    if resume and resume is not True:
        config.load_from = str(resume)
        if not Path(resume).is_file():
            raise InputError(f"--resume {resume}: no such file; leave it empty to take the newest of the run")
    check_paths(config, "train", "val")
    if config.resume or config.get("load_from"):
        config.model.network.backbone.weights = None  # the checkpoint has them
    runner = _build_runner(config)
    runner.train()
    return runner


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    work_dir: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> dict[str, float]:
    """Evaluate a checkpoint on the config's test set.

    Args:
        checkpoint: of any known format.
        out: where to write the detections as COCO JSON.
        config, work_dir, options, launcher: as in `prepare_config`.

    Returns:
        The twelve COCO figures, as coco/AP, coco/AP50, ….

    Raises:
        InputError: bad config, data or checkpoint, or one that does not fit the config.
    """
    config = prepare_config(config, work_dir=work_dir, options=options, launcher=launcher)
    config.model.network.backbone.weights = None
    config.load_from, config.resume = None, False
    check_paths(config, "test")
    if out is not None:
        config.test_evaluator.outfile = str(out)
    runner = _build_runner(config)
    report = load_checkpoint(runner.model.network, checkpoint, strict=True, quiet=True)
    runner.logger.info(f"\n{report}")
    return runner.test()


def _build_runner(config: Config) -> Runner:
    # mmengine keeps the scope and logger of the first run of a process; a second run starts its own.
    init_default_scope("detr_kit")
    config.experiment_name = config.get("experiment_name") or Path(config.work_dir).name
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    return RUNNERS.get(config.get("runner_type", "DetectionRunner")).from_cfg(config)


def _check_options(config: Config, options: Mapping[str, Any], name: str) -> None:
    """An override has to reach a section that exists; otherwise it would change nothing, silently."""
    for key in options:
        parts = key.split(".")
        node: Any = config.to_dict()
        for depth, part in enumerate(parts[:-1], start=1):
            if isinstance(node, Sequence) and not isinstance(node, str) and part.isdigit():
                node = node[int(part)] if int(part) < len(node) else None
            else:
                node = node.get(part) if isinstance(node, Mapping) else None
            if node is None:
                raise InputError(f"option {key}: config {name} has no {'.'.join(parts[:depth])!r}")


def _apply_data_root(config: Config) -> None:
    for split in ("train", "val", "test"):
        loader = config.get(f"{split}_dataloader")
        if loader is not None and loader.dataset.type == "CocoDataset":
            loader.dataset.setdefault("data_root", config.get("data_root", ""))


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
    if not any(backend.type == "TensorboardVisBackend" for backend in backends):
        backends.append(dict(type="TensorboardVisBackend"))
