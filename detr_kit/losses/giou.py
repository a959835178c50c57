"""IoU and generalised IoU, of boxes side by side or of every pair."""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = 1e-12  # keeps 0 / 0 out; a pixel of a 4000 × 4000 image has an area of 6e-8


def pairwise_generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """`generalized_iou` of every pair: a (…, N, 4), b (…, M, 4) -> (…, N, M)."""
    return generalized_iou(a[..., :, None, :], b[..., None, :, :])


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of boxes side by side (Rezatofighi et al. 2019).

    torchvision's generalized_box_iou_loss adds 1e-7 to its denominators, which is much for small boxes in
    normalised coordinates: a perfect box of one pixel in 1333 × 800 would cost 0.1.

    Args:
        a, b: (…, 4) xyxy, broadcast against each other.

    Returns:
        (…) in [-1, 1]; finite also for boxes without area.
    """
    intersection, union = _overlap(a, b)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0)
    hull = outer.prod(-1)
    return intersection / union.clamp(min=_EPS) - (hull - union) / hull.clamp(min=_EPS)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes side by side: a, b (…, 4) xyxy, broadcast -> (…) in [0, 1], 0 for boxes without area."""
    intersection, union = _overlap(a, b)
    return intersection / union.clamp(min=_EPS)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Area of the intersection and of the union."""
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = inner.prod(-1)
    return intersection, area_a + area_b - intersection
