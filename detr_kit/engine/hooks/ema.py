"""The moving average of the weights, in step with the optimiser."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.hooks import Hook
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import Runner
from torch import Tensor, nn

from ...registry import HOOKS, MODELS

_AVERAGED = "module."  # how mmengine begins the names of the second set of weights


@HOOKS.register_module()
class EMAHook(MMEngineEMAHook):
    """mmengine's, which averages after every batch: this one averages after every step that was taken.

    Batches that are being accumulated, and steps that were left out, change no weight and so count for
    nothing. Statistics of batch norm are those that validation used, shared between processes.

    Args:
        kwargs: of mmengine's hook: ema_type, momentum, update_buffers, begin_epoch, ….
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Average, where there is something new."""
        if runner.optim_wrapper.has_stepped:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """The averaged weights under `state_dict`, with the statistics of now; the live under `ema_…`."""
        if not self.ema_model.update_buffers:
            for averaged, live in zip(self.ema_model.module.buffers(), self.src_model.buffers(), strict=True):
                averaged.data.copy_(live.data)
        super().before_save_checkpoint(runner, checkpoint)


@MODELS.register_module()
class ExpMomentumEMA(ExponentialMovingAverage):
    """An average that follows quickly at first: (1 − m) · e^(−n / gamma) + m of step n, as YOLOX's.

    Args:
        model: to average.
        momentum: m, share of the newest weights in the long run.
        gamma: steps in which it comes near to that.
        kwargs: of mmengine's averages: interval, device, update_buffers.
    """

    def __init__(self, model: nn.Module, momentum: float = 1e-4, gamma: int = 2000, **kwargs: Any) -> None:
        super().__init__(model, momentum, **kwargs)
        self.gamma = gamma

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        """Move the average, in place."""
        momentum = (1 - self.momentum) * math.exp(-(1 + steps) / self.gamma) + self.momentum
        averaged_param.lerp_(source_param, momentum)


class WithoutEMAHook(Hook):
    """Takes the live weights of a checkpoint with a moving average where a run keeps none.

    Under `state_dict` lie the averaged ones, for those who only want the model; trained on as if they were
    live they would go with an optimiser's state that is not theirs.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Only where a run goes on, and only without an EMAHook, which does so itself."""
        stored = checkpoint.get("ema_state_dict")
        if stored is None or not runner._resume:
            return
        if any(isinstance(hook, MMEngineEMAHook) for hook in runner.hooks):
            return
        live = {
            name.removeprefix(_AVERAGED): tensor
            for name, tensor in stored.items()
            if name.startswith(_AVERAGED)
        }
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **live}
        runner.logger.warning(
            "the checkpoint has a moving average of the weights and this run keeps none: it goes on from the "
            "live weights; --ema goes on with both"
        )
