"""Losses beside those of every DETR: a family's own, named in its config."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .groups import Group, Pairs


class FurtherLoss(nn.Module, ABC):
    """One more loss, or several, for `SetCriterion(further=[…])`.

    Attributes:
        weights: the coefficient of each loss by its name; names are two words, `loss_fgl`.
    """

    weights: dict[str, float]

    @abstractmethod
    def forward(self, group: Group, pairs: Pairs, num_boxes: Tensor) -> dict[str, Tensor]:
        """The losses of a group's layers.

        Args:
            group: N layers of predictions; `group.extras` has what the network says of its own.
            pairs: the matched ones of all layers.
            num_boxes: scalar, objects to divide by.

        Returns:
            (N,) float32 by name; {} for a group that it has nothing to say to.
        """
