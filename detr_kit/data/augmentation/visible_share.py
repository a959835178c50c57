"""How much of a box is in sight."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def visible_share(boxes: Tensor, covered: np.ndarray) -> Tensor:
    """The share of each box's pixels that nothing covers.

    Args:
        boxes: (N, 4) xyxy in pixels, within the picture; covered: (H, W) bool.

    Returns:
        (N,) float32 in [0, 1]; 1 for boxes without a whole pixel.
    """
    shares = []
    for x0, y0, x1, y1 in boxes.round().int().tolist():
        part = covered[y0:y1, x0:x1]
        shares.append(1.0 - float(part.mean()) if part.size else 1.0)
    return torch.tensor(shares, dtype=torch.float32)
