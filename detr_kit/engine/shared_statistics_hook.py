"""One set of batch-norm statistics for all processes."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from mmengine.hooks import Hook
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
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                for statistic in (module.running_mean, module.running_var):
                    if statistic is not None:
                        dist.all_reduce(statistic)
                        statistic.div_(world_size)
