"""The objects of a batch as rectangular tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..structures import Target


@dataclass(frozen=True)
class PaddedTargets:
    """Objects of B images, padded to the largest number T.

    Attributes:
        labels: (B, T) int64, 0 on padding.
        boxes: (B, T, 4) float32 cxcywh, a unit box on padding.
        counts: objects in each image.
    """

    labels: Tensor
    boxes: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, targets: Sequence[Target | Mapping[str, Any]], device: torch.device) -> PaddedTargets:
        """From Target objects, or mappings with "labels" and "boxes"."""
        pairs = [
            (t["labels"], t["boxes"]) if isinstance(t, Mapping) else (t.labels, t.boxes) for t in targets
        ]
        labels = pad_sequence([label.to(device) for label, _ in pairs], batch_first=True)
        boxes = pad_sequence([box.to(device).float().view(-1, 4) for _, box in pairs], batch_first=True)
        counts = tuple(len(label) for label, _ in pairs)
        padding = torch.arange(labels.shape[1], device=device) >= torch.tensor(counts, device=device)[:, None]
        return cls(labels, boxes.masked_fill(padding[..., None], 1.0), counts)

    def without_classes(self) -> PaddedTargets:
        """Every label 0: the two-stage encoder only tells objects from background."""
        return PaddedTargets(torch.zeros_like(self.labels), self.boxes, self.counts)
