"""Matchability-aware loss: as varifocal, but a matched query with a poor box counts in full (DEIM)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import MODELS
from .classification import ClassificationLoss
from .groups import Group, Pairs
from .varifocal import iou_of_matched


@MODELS.register_module()
class MatchabilityAwareLoss(ClassificationLoss):
    """DEIM's classification loss (Huang et al. 2025).

    Binary cross-entropy with IoU^gamma of matched boxes as the target. Matched classes weigh 1; in varifocal
    loss they weigh their IoU, so that a pair with a poor box is hardly taught. All others weigh p^gamma,
    without a gradient.

    Args:
        gamma: of the loss.
    """

    classification = "focal"

    def __init__(self, gamma: float = 1.5) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, group: Group, pairs: Pairs, num_boxes: Tensor) -> Tensor:
        """See ClassificationLoss."""
        where = (pairs.layer, pairs.image, pairs.query, pairs.labels)
        target = torch.zeros_like(group.logits)
        target[where] = iou_of_matched(group, pairs) ** self.gamma
        weight = group.logits.detach().sigmoid() ** self.gamma
        weight[where] = 1.0
        loss = F.binary_cross_entropy_with_logits(group.logits, target, weight, reduction="none")
        return loss.sum((1, 2, 3)) / num_boxes
