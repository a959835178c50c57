"""Losses beside those of every DETR: a family's own, named in its config."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .groups import Matched


class FurtherLoss(nn.Module, ABC):
    """One more loss, or several, for `SetCriterion(further=[…])`.

    Attributes:
        weights: the coefficient of each loss by its name; names are two words, `loss_fgl`.
    """

    weights: dict[str, float]

    @abstractmethod
    def forward(self, matched: Matched, main: Matched) -> dict[str, Tensor]:
        """The losses of a group's layers.

        Args:
            matched: the group, N layers of predictions; `group.extras` has what the network says of its own.
            main: that of the decoder's layers and its usual queries.

        Returns:
            (N,) float32 by name; {} for a group that it has nothing to say to.
        """
