"""A run that has diverged stops, instead of going on for hours and being evaluated."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.hooks import Hook

from ..errors import InputError


class FiniteLossHook(Hook):
    """Stops at the first loss that is not a number, as the original code does.

    Under float16 it is the scaled gradients that overflow, and those steps are skipped; the loss itself
    stays finite.
    """

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the loss that was just logged."""
        loss = float(torch.as_tensor((outputs or {}).get("loss", 0.0)).detach())
        if not math.isfinite(loss):
            images = [target.path for target in data_batch.targets]
            raise InputError(
                f"the loss is {loss} at iteration {runner.iter + 1} (images {images}); checkpoints up to "
                "here are kept. Lower optim_wrapper.optimizer.lr, keep clip_grad, or look at these images"
            )
