"""SIGTERM, as clusters and containers send it before they kill: save, and end well."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from .checkpoint import PREEMPTED, mark_last_checkpoint


class PreemptionHook(Hook):
    """After SIGTERM the current step is finished, a checkpoint written, and training ends without an error.

    All processes stop after the same step, whichever of them got the signal.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._former: Any = None

    def before_train(self, runner: Any) -> None:
        """Listen from now on; only a program's main thread may."""
        try:
            self._former = signal.signal(signal.SIGTERM, self._request)
        except ValueError:
            runner.logger.warning("not in the main thread: SIGTERM will end this run without a checkpoint")

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save and stop, where the gradients collected so far have been used."""
        if not runner.optim_wrapper.should_update() or not self._anyone_requested():
            return
        runner.save_checkpoint(
            runner.work_dir, PREEMPTED, by_epoch=False, meta=dict(epoch=runner.epoch, iter=runner.iter + 1)
        )
        if is_main_process():
            mark_last_checkpoint(runner.work_dir, Path(runner.work_dir) / PREEMPTED)
        runner.logger.info(
            f"SIGTERM: stopped after iteration {runner.iter + 1}, saved as {PREEMPTED}; go on with --resume"
        )
        runner.train_loop.stop_training = True

    def after_train(self, runner: Any) -> None:
        """Leave the signal to whom it belonged."""
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)
            self._former = None

    def _anyone_requested(self) -> bool:
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return self.is_requested
        flag = torch.tensor(float(self.is_requested), device=get_device())
        dist.all_reduce(flag)
        return bool(flag > 0)
