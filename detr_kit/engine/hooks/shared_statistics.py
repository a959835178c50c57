"""One set of batch-norm statistics for all processes."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from mmengine.hooks import EMAHook, Hook
from torch.nn.modules.batchnorm import _BatchNorm


class SharedStatisticsHook(Hook):
    """Averages running statistics over the processes at the end of an epoch.

    Each process gathers those of its own share of the images. Without this the checkpoint, which the first
    process writes, would hold another network than the one that the others validate with. Frozen batch norm,
    which the papers' models have, gathers none.
    """

    def after_train_epoch(self, runner: Any) -> None:
        """Average; it comes before the checkpoint is written and before validation."""
        if not runner.distributed:
            return
        world_size = dist.get_world_size()
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        # A moving average that does not average statistics takes those of the live model when it is saved.
        for model in (runner.model, *(average for average in averages if average.update_buffers)):
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    for statistic in (module.running_mean, module.running_var):
                        if statistic is not None:
                            dist.all_reduce(statistic)
                            statistic.div_(world_size)
