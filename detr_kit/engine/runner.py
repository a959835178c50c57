"""mmengine's Runner with a short log, safe checkpoints, and weights of any format to start from."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from .. import __version__
from ..checkpoints import load_checkpoint
from ..errors import InputError
from ..registry import RUNNERS
from .data_check_hook import DataCheckHook
from .plain_checkpoint_hook import PlainCheckpointHook

_NOISE = ('"FileClient" will', '"HardDiskBackend" is', "Distributed training is not used", "Hooks will be")


def _is_about_the_run(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOISE)


@RUNNERS.register_module()
class DetectionRunner(Runner):
    """Runs training, validation and test of a config."""

    _has_loaded: bool

    def register_hooks(self, default_hooks: dict | None = None, custom_hooks: list | None = None) -> None:
        """The config's hooks, and two that no config can do without."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(DataCheckHook(), priority="VERY_HIGH")
        self.register_hook(PlainCheckpointHook(), priority="LOWEST")

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

    def load_or_resume(self) -> None:
        """Resume from the work directory or a training checkpoint, or start from weights of any format."""
        if self._has_loaded or self._resume or self._load_from is None:
            super().load_or_resume()
            return
        model = self.model.module if hasattr(self.model, "module") else self.model
        categories = getattr(self.train_loop.dataloader.dataset, "categories", None)
        names = categories.names if categories else None
        report = load_checkpoint(model.network, self._load_from, class_names=names, quiet=True)
        self.logger.info(f"weights to start from:\n{report}")
        self._has_loaded = True

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Read a training checkpoint of this project, with torch's safe loader."""
        if not Path(filename).is_file():
            raise InputError(f"checkpoint {filename}: no such file to resume from")
        return super().load_checkpoint(filename, *args, **kwargs)
