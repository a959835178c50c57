"""Classification losses: what a query is taught, given the objects that it was matched with."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from ..registry import MODELS
from .groups import Group, Pairs
from .process_mean import process_mean


class ClassificationLoss(nn.Module, ABC):
    """Of a whole group at once.

    Attributes:
        classification: what it takes logits for, as `network.classification` says: "softmax" with "no object"
            as the last class, or "focal" for a sigmoid a class.
    """

    classification: ClassVar[str]

    @abstractmethod
    def forward(self, group: Group, pairs: Pairs, num_boxes: Tensor) -> Tensor:
        """The loss of each layer.

        Args:
            group: N layers of predictions.
            pairs: the matched ones of all layers.
            num_boxes: scalar, objects to divide by.

        Returns:
            (N,) float32.
        """


@MODELS.register_module()
class SoftmaxLoss(ClassificationLoss):
    """Cross-entropy with "no object" as the last class (Carion et al. 2020, section 3.1).

    Args:
        no_object_weight: of the queries without an object.
    """

    classification = "softmax"

    def __init__(self, no_object_weight: float = 0.1) -> None:
        super().__init__()
        self.no_object_weight = no_object_weight

    def forward(self, group: Group, pairs: Pairs, num_boxes: Tensor) -> Tensor:
        """See ClassificationLoss; a weighted mean over queries, which `num_boxes` does not enter.

        Over those of all processes, where the original code has a mean of each.
        """
        logits = group.logits
        no_object = logits.shape[-1] - 1
        classes = torch.full(logits.shape[:3], no_object, dtype=torch.int64, device=logits.device)
        classes[pairs.layer, pairs.image, pairs.query] = pairs.labels
        weight = torch.where(classes == no_object, self.no_object_weight, 1.0)
        loss = F.cross_entropy(logits.flatten(0, 2), classes.flatten(), reduction="none").view_as(weight)
        return (loss * weight).sum((1, 2)) / process_mean(weight.sum((1, 2)))


@MODELS.register_module()
class FocalLoss(ClassificationLoss):
    """Sigmoid focal loss (Lin et al. 2017), as in Deformable DETR.

    Args:
        alpha, gamma: of the loss.
    """

    classification = "focal"

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, group: Group, pairs: Pairs, num_boxes: Tensor) -> Tensor:
        """See ClassificationLoss."""
        one_hot = torch.zeros_like(group.logits)
        one_hot[pairs.layer, pairs.image, pairs.query, pairs.labels] = 1
        loss = sigmoid_focal_loss(group.logits, one_hot, self.alpha, self.gamma, reduction="none")
        return loss.flatten(1).sum(1) / num_boxes


_USUAL: dict[str, type[ClassificationLoss]] = {"softmax": SoftmaxLoss, "focal": FocalLoss}


def classification_loss(
    wanted: ClassificationLoss | str | None, numbers: Mapping[str, float]
) -> ClassificationLoss:
    """The loss itself, or the usual one for what logits mean.

    Args:
        wanted: a loss, or "softmax" or "focal".
        numbers: arguments of the usual one; those of the other are no matter.

    Raises:
        ValueError: neither, or numbers beside a loss.
    """
    if isinstance(wanted, ClassificationLoss):
        if numbers:
            kind = type(wanted).__name__
            raise ValueError(
                f"SetCriterion: {', '.join(numbers)} beside a whole loss; write classification="
                f"dict(type={kind!r}, {', '.join(f'{k}={v}' for k, v in numbers.items())})"
            )
        return wanted
    if wanted not in _USUAL:
        raise ValueError(
            f'SetCriterion: classification={wanted!r}, not "softmax" or "focal", nor a loss such as '
            'dict(type="FocalLoss", alpha=0.25)'
        )
    factory = _USUAL[wanted]
    taken = inspect.signature(factory).parameters
    return factory(**{name: value for name, value in numbers.items() if name in taken})
