"""Hungarian matching: which query answers for which object (Carion et al. 2020, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import box_convert

from ..registry import MODELS
from ..structures import Matches
from .giou import pairwise_generalized_iou
from .target_check import check_targets
from .targets import PaddedTargets
from .union import union_of

_LARGE = 1e6  # stands for a cost that is not a number; far above any real one, and sums of it stay finite


@MODELS.register_module()
class HungarianMatcher(nn.Module):
    """One-to-one assignment of least cost between queries and objects.

    Args:
        classification: what logits mean, as `network.classification` says: "softmax" (cost −probability) or
            "focal" (Deformable DETR's focal cost). `criterion_for(network)` sets it and the weights.
        cost_class, cost_bbox, cost_giou: weights of class, L1 and GIoU cost.
        alpha, gamma: of the focal cost.

    Raises:
        ValueError: another classification, or nothing costs anything.
    """

    def __init__(
        self,
        classification: str,
        cost_class: float = 1.0,
        cost_bbox: float = 5.0,
        cost_giou: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        super().__init__()
        if classification not in ("softmax", "focal"):
            raise ValueError(f'HungarianMatcher: classification={classification!r}, not "softmax" or "focal"')
        if not cost_class and not cost_bbox and not cost_giou:
            raise ValueError("HungarianMatcher: all three costs are 0; set at least one")
        self.classification = classification
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou
        self.alpha, self.gamma = alpha, gamma

    @torch.no_grad()
    def forward(
        self,
        predictions: Sequence[tuple[Tensor, Tensor]],
        targets: Sequence[PaddedTargets],
        union: bool = False,
    ) -> list[Matches]:
        """Match every layer and every image of a batch.

        The costs of all layers travel to the host in one copy, the matches back in another. The targets go
        along and are checked there, so that this costs no further wait for the device.

        Args:
            predictions: (logits (N, B, Q, C), boxes (N, B, Q, 4) cxcywh) for N layers at a time; groups may
                differ in Q (the two-stage encoder has its own).
            targets: one PaddedTargets a group.
            union: also join what the layers found, see `union_of`.

        Returns:
            One Matches a layer, in the order of groups and layers; with `union` its own after them.

        Raises:
            InputError: a label or a box that cannot be, see `check_targets`.
        """
        costs = [self.cost(*group, padded) for group, padded in zip(predictions, targets, strict=True)]
        on_host = _on_host([*costs, *(padded.rows for padded in targets)])
        per_layer: list[np.ndarray] = []
        for i, ((logits, _), padded) in enumerate(zip(predictions, targets, strict=True)):
            num_classes = logits.shape[-1] - (self.classification == "softmax")
            check_targets(on_host[len(costs) + i], padded.counts, padded.names, num_classes)
            per_layer += [_assign(layer, padded.counts) for layer in on_host[i]]
        if union:
            per_layer.append(union_of(per_layer))
        lengths = [pairs.shape[1] for pairs in per_layer]
        pairs = torch.from_numpy(np.concatenate(per_layer, axis=1)).to(costs[0].device, non_blocking=True)
        return [Matches(*chunk) for chunk in pairs.split(lengths, dim=1)]

    def cost(self, logits: Tensor, boxes: Tensor, targets: PaddedTargets) -> Tensor:
        """(N, B, Q, T) float32, finite whatever the predictions; T is the padded number of objects."""
        with torch.autocast(logits.device.type, enabled=False):
            logits, boxes = logits.float(), boxes.float()
            layers, _, queries, num_logits = logits.shape
            # A label that is out of range is refused on the host, and must not end the process before.
            labels = targets.labels.clamp(0, num_logits - 1)
            index = labels[None, :, None, :].expand(layers, -1, queries, -1)
            if self.classification == "softmax":
                class_cost = -logits.softmax(-1).gather(-1, index)
            else:
                class_cost = self._focal_cost(logits.gather(-1, index).sigmoid())
            box_cost = torch.cdist(boxes, targets.boxes[None].expand(layers, -1, -1, -1), p=1)
            giou = pairwise_generalized_iou(
                box_convert(boxes, "cxcywh", "xyxy"), box_convert(targets.boxes, "cxcywh", "xyxy")[None]
            )
            total = self.cost_bbox * box_cost + self.cost_class * class_cost - self.cost_giou * giou
            return total.nan_to_num(_LARGE, _LARGE, -_LARGE).clamp(-_LARGE, _LARGE)

    def _focal_cost(self, p: Tensor) -> Tensor:
        negative = (1 - self.alpha) * p**self.gamma * -(1 - p + 1e-8).log()
        positive = self.alpha * (1 - p) ** self.gamma * -(p + 1e-8).log()
        return positive - negative


def _on_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """float32 tensors of a device in one copy."""
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    parts = np.split(flat, ends[:-1])
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _assign(cost: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """cost (B, Q, T), objects in each image -> (3, K) image, query, target."""
    images, queries, objects = [], [], []
    for image, count in enumerate(counts):
        query, target = linear_sum_assignment(cost[image, :, :count])
        images.append(np.full(len(query), image, dtype=np.int64))
        queries.append(query)
        objects.append(target)
    return np.stack([np.concatenate(part).astype(np.int64) for part in (images, queries, objects)])
