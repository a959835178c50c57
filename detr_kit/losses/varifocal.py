"""Varifocal loss: a query's score is taught to be the IoU of its box (Zhang et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from ..registry import MODELS
from .classification import ClassificationLoss
from .giou import box_iou
from .groups import Group, Pairs


@MODELS.register_module()
class VarifocalLoss(ClassificationLoss):
    """As RT-DETR and D-FINE use it: binary cross-entropy with the IoU of matched boxes as the target.

    Matched classes weigh as much as their IoU, all others alpha · p^gamma; neither has a gradient.

    Args:
        alpha, gamma: of the loss.
    """

    classification = "focal"

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, group: Group, pairs: Pairs, num_boxes: Tensor) -> Tensor:
        """See ClassificationLoss."""
        iou = iou_of_matched(group, pairs)
        where = (pairs.layer, pairs.image, pairs.query, pairs.labels)
        target = torch.zeros_like(group.logits)
        target[where] = iou
        weight = self.alpha * group.logits.detach().sigmoid() ** self.gamma
        weight[where] = iou
        loss = F.binary_cross_entropy_with_logits(group.logits, target, weight, reduction="none")
        return loss.sum((1, 2, 3)) / num_boxes


def iou_of_matched(group: Group, pairs: Pairs) -> Tensor:
    """(K,) IoU of each matched query's box with its object, without a gradient."""
    boxes = pairs.predicted(group.boxes.detach())
    return box_iou(box_convert(boxes, "cxcywh", "xyxy"), box_convert(pairs.boxes, "cxcywh", "xyxy"))
