"""What is known of how a network found one detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .attention import Attention


@dataclass
class Record:
    """Where a network looked for one detection.

    Attributes:
        image: (H, W, 3) uint8 RGB, the original image.
        query: which of the decoder's queries found it.
        class_name, score: of the detection.
        boxes: (layers, 4) float32 xyxy in pixels of the original image: the box after each decoder layer; the
            last one is the detection's.
        attention: sampling points or maps of every layer, as the decoder attends; normalised coordinates.
    """

    image: np.ndarray
    query: int
    class_name: str
    score: float
    boxes: Tensor
    attention: Attention
