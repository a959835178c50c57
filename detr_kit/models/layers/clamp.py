"""Values held at one end: a ReLU whose end is not 0."""

from __future__ import annotations

from torch import Tensor, nn


class Clamp(nn.Module):
    """max(x, low), or min(x, high).

    Not Hardtanh, whose other end would be infinity, a number that exported files need not hold.

    Args:
        low, high: the one end, and None.
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x.clamp(self.low, self.high)
