"""Generalised IoU of every pair of two sets of boxes, batched."""

from __future__ import annotations

import torch
from torch import Tensor


def pairwise_generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU (Rezatofighi et al. 2019); torchvision.ops.generalized_box_iou with leading batch dimensions.

    Args:
        a: (…, N, 4) xyxy; b: (…, M, 4) xyxy.

    Returns:
        (…, N, M) in [-1, 1]; finite also for boxes without area.
    """
    a, b = a[..., :, None, :], b[..., None, :, :]
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection, hull = inner.prod(-1), outer.prod(-1)
    union = area_a + area_b - intersection
    tiny = torch.finfo(union.dtype).tiny  # keeps 0 / 0 out without touching any real box
    return intersection / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)
