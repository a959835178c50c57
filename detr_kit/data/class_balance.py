"""How often each image is to be drawn so that rare classes are learned too."""

from __future__ import annotations

from typing import Any

import numpy as np


def repeat_factors(dataset: Any, threshold: float) -> np.ndarray:
    """Repeat factors of LVIS (Gupta et al. 2019, appendix): max(1, sqrt(threshold / share of the rarest)).

    Args:
        dataset: has a length and `labels_of_image(index)`, the labels of an image's objects.
        threshold: share of the images, in (0, 1], below which a class counts as rare.

    Returns:
        (len,) float64, at least 1.
    """
    labels = [np.unique(np.asarray(dataset.labels_of_image(i))) for i in range(len(dataset))]
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]).astype(np.int64))
    of_class = np.maximum(1.0, np.sqrt(threshold * len(dataset) / np.maximum(counts, 1)))
    return np.array([of_class[own].max(initial=1.0) for own in labels])
