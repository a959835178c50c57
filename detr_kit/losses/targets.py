"""The objects of a batch as rectangular tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import InputError
from ..structures import Target
from .target_check import check_shapes


@dataclass(frozen=True)
class PaddedTargets:
    """Objects of B images, padded to the largest number T.

    Attributes:
        labels: (B, T) int64, 0 on padding.
        boxes: (B, T, 4) float32 cxcywh, a unit box on padding.
        counts: objects in each image.
        names: of the images, for messages.
    """

    labels: Tensor
    boxes: Tensor
    counts: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, targets: Sequence[Target | Mapping[str, Any]], device: torch.device) -> PaddedTargets:
        """From Target objects, or mappings with "labels" and "boxes".

        Raises:
            InputError: not tensors of the right shapes; values are checked later, see `check_targets`.
        """
        names = tuple(_name(index, target) for index, target in enumerate(targets))
        pairs = [_labels_and_boxes(name, target) for name, target in zip(names, targets, strict=True)]
        labels = pad_sequence([label.to(device, torch.int64) for label, _ in pairs], batch_first=True)
        boxes = pad_sequence([box.to(device).float().view(-1, 4) for _, box in pairs], batch_first=True)
        counts = tuple(len(label) for label, _ in pairs)
        padding = torch.arange(labels.shape[1], device=device) >= torch.tensor(counts, device=device)[:, None]
        return cls(labels, boxes.masked_fill(padding[..., None], 1.0), counts, names)

    @property
    def rows(self) -> Tensor:
        """(B, T, 5) float32: label and box of each object."""
        return torch.cat([self.labels[..., None].float(), self.boxes], dim=-1)

    def without_classes(self) -> PaddedTargets:
        """Every label 0: the two-stage encoder only tells objects from background."""
        return replace(self, labels=torch.zeros_like(self.labels))


def _name(index: int, target: Any) -> str:
    path = getattr(target, "path", "")
    return f"target of image {index} of the batch" + (f" ({path})" if path else "")


def _labels_and_boxes(name: str, target: Target | Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    if isinstance(target, Mapping):
        missing = [field for field in ("labels", "boxes") if field not in target]
        if missing:
            raise InputError(f"{name}: no {missing[0]!r}; it has {', '.join(map(str, target)) or 'nothing'}")
        labels, boxes = target["labels"], target["boxes"]
    else:
        labels, boxes = target.labels, target.boxes
    check_shapes(name, labels, boxes)
    return labels, boxes
