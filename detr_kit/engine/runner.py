"""mmengine's Runner with a short log, safe checkpoints, and weights of any format to start from."""

from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from .. import __version__
from ..checkpoints import load_checkpoint, read_checkpoint
from ..errors import InputError
from ..registry import MODELS, RUNNERS, build
from .atomic_file import whole_file
from .hooks.data_check import DataCheckHook
from .hooks.ema import WithoutEMAHook
from .hooks.numerical_health import NumericalHealthHook
from .hooks.plain_checkpoint import PlainCheckpointHook
from .hooks.preemption import PreemptionHook
from .hooks.results import ResultsHook
from .hooks.run_summary import RunSummaryHook
from .hooks.schedule_check import ScheduleCheckHook
from .hooks.seed import SeedHook
from .hooks.shared_statistics import SharedStatisticsHook
from .hooks.skipped_images import SkippedImagesHook
from .hooks.unused_parameters import UnusedParametersHook
from .resume import check_same_classes, go_on
from .roll_call import come
from .sharding import ShardingHook, block_of, is_sharded, load_weights, shard, whole_state
from .steady_batches import WorkerRestarts
from .trainable_detector import unwrap

_NOISE = ('"FileClient" will', '"HardDiskBackend" is', "Distributed training is not used", "Hooks will be")


def _is_about_the_run(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOISE)


@RUNNERS.register_module()
class DetectionRunner(Runner):
    """Runs training, validation and test of a config."""

    _has_loaded: bool

    @cached_property
    def worker_restarts(self) -> WorkerRestarts:
        """How many data workers died in this run."""
        return WorkerRestarts()

    def register_hooks(self, default_hooks: dict | None = None, custom_hooks: list | None = None) -> None:
        """The config's hooks, and those that no config can do without."""
        super().register_hooks(default_hooks, custom_hooks)
        checks = (DataCheckHook(), ScheduleCheckHook(), NumericalHealthHook(), SkippedImagesHook())
        for hook in (SeedHook(), *checks, UnusedParametersHook()):
            self.register_hook(hook, priority="VERY_HIGH")
        for hook in (SharedStatisticsHook(), WithoutEMAHook()):
            self.register_hook(hook, priority="NORMAL")
        if is_sharded(self.model):
            self.register_hook(self._sharding_hook, priority="VERY_HIGH")
        self.register_hook(ResultsHook())
        for hook in (PlainCheckpointHook(), PreemptionHook(), RunSummaryHook()):
            self.register_hook(hook, priority="LOWEST")

    @cached_property
    def _sharding_hook(self) -> ShardingHook:
        return ShardingHook()

    def setup_env(self, env_cfg: dict) -> None:
        """mmengine's; the process group is there afterwards, and this process says so."""
        super().setup_env(env_cfg)
        come()

    @property
    def common_seed(self) -> int:
        """The seed that all processes share; `seed` is this process's own."""
        return self.seed - self.rank if self._randomness_cfg.get("diff_rank_seed") else self.seed

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """mmengine's logger without its notes on itself."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            handler.addFilter(_is_about_the_run)
        return logger

    def _log_env(self, env_cfg: dict) -> None:
        """Two lines about the machine; the whole config goes to the work directory."""
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu"
        self.logger.info(
            f"detr-kit {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
            f"{device}, {torch.get_num_threads()} threads, {self._world_size} process(es), seed {self._seed}"
        )
        self.logger.info(f"work directory: {self.work_dir}")

    def dump_config(self) -> None:
        """Keep the config beside the run, unless it was written there for it: that one is for people."""
        if Path(self.cfg.filename or "").resolve().parent != Path(self.work_dir).resolve():
            super().dump_config()

    def load_or_resume(self) -> None:
        """Resume from the work directory or a training checkpoint, or start from weights of any format."""
        if self._has_loaded or self._resume or self._load_from is None:
            super().load_or_resume()
            return
        model = unwrap(self.model)
        categories = getattr(self.train_loop.dataloader.dataset, "categories", None)
        names = categories.names if categories else None
        sharded = is_sharded(model)
        network = build(self.cfg.model.network.to_dict(), MODELS) if sharded else model.network
        report = load_checkpoint(network, self._load_from, class_names=names, quiet=True)
        if sharded:
            load_weights(model, {f"network.{name}": of for name, of in network.state_dict().items()})
        self.logger.info(f"weights to start from:\n{report}")
        self._has_loaded = True

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: Mapping[str, Any] | None = None) -> None:
        """Scale the learning rate by the pictures of a step, those of accumulated batches too."""
        if not auto_scale_lr or not auto_scale_lr.get("enable", False):
            return
        batch, accumulated = self._train_dataloader["batch_size"], optim_wrapper.accumulative_counts
        pictures, base = self.world_size * batch * accumulated, auto_scale_lr["base_batch_size"]
        self.logger.info(
            f"learning rate scaled by {pictures / base:g}: {pictures} pictures a step ({self.world_size} "
            f"process(es) x batches of {batch} x {accumulated} accumulated), the recipe's {base}"
        )
        for group in optim_wrapper.param_groups:
            group["lr"] *= pictures / base

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on with a training checkpoint.

        Raises:
            InputError: as `load_checkpoint` and `go_on`.
        """
        go_on(self, self.load_checkpoint(filename, map_location=get_device()), filename)
        self._has_loaded = True

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Read a training checkpoint of this project, with torch's safe loader.

        Raises:
            InputError: not one, of other classes, or of a model of another shape.
        """
        file = read_checkpoint(filename)
        state = file.state_dict
        own = unwrap(self.model).state_dict()
        if not any(key.startswith("network.") for key in state):
            raise InputError(
                f"checkpoint {filename}: these are weights, not a training checkpoint that can be resumed; "
                "set load_from to start from them"
            )
        check_same_classes(file.metadata, self.train_loop.dataloader.dataset, filename)
        wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
        if wrong:
            raise InputError(
                f"checkpoint {filename}: {len(wrong)} tensors are not those of this config's model (first: "
                f"{wrong[0]}); resume with the config it was trained with, or set load_from to fine-tune"
            )
        if not is_sharded(self.model):
            return super().load_checkpoint(filename, *args, **kwargs)
        checkpoint = torch.load(filename, map_location="cpu", weights_only=True)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        load_weights(self.model, checkpoint["state_dict"])
        return checkpoint

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint whole or not at all; in a run of several processes the first one writes.

        Raises:
            InputError: it could not be written, for want of space or rights; what was there before still is.
        """
        if is_sharded(self.model):
            self._sharding_hook.gathered = whole_state(self.model, self.optim_wrapper.optimizer)
        if self.rank != 0:
            return
        path = Path(out_dir) / filename
        try:
            with whole_file(path) as partial:
                super().save_checkpoint(out_dir, partial.name, *args, **kwargs)
        except OSError as error:
            free = shutil.disk_usage(path.parent).free / 2**20
            raise InputError(
                f"checkpoint {path} could not be written: {error.strerror or error} ({free:.0f} MiB free). "
                "The checkpoints before it are whole; make room there and go on with --resume"
            ) from error

    def _maybe_compile(self, target: str) -> None:
        """torch.compile for the network alone: matching and losses work on host data and gain nothing."""
        settings = self.cfg.get("compile")
        if settings:
            unwrap(self.model).network.compile(**(settings if isinstance(settings, dict) else {}))
            self.logger.info("the network is compiled in the first steps, which take longer")

    def _init_model_weights(self) -> None:
        """mmengine's, which sends the first process's weights to all; `shard` has sent whole ones."""
        if not is_sharded(self.model):
            super()._init_model_weights()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Shards the model where the config says so; DDP on a CPU has no device ids, mmengine gives some."""
        sharding = self.cfg.get("fsdp")
        if self.distributed and sharding:
            model = model.to(get_device())
            shard(model, block_of(sharding))
            return model
        if not self.distributed or torch.cuda.is_available():
            return super().wrap_model(model_wrapper_cfg, model)
        unused = self.cfg.get("find_unused_parameters", False)
        return MMDistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=unused)
