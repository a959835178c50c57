"""Means over the processes of a run, so that several learn what one would of all their batches."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def process_mean(values: Tensor) -> Tensor:
    """values, of one shape in all processes -> their mean over these, without a gradient.

    Gradients are averaged over processes: a loss divided by the mean of a count comes to the sum of all
    divided by the count of all (Carion et al. 2020, appendix A.2).
    """
    mean = values.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean
