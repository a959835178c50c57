"""What any layer was matched with: the pairs that all layers of D-FINE learn boxes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def union_of(matches: Sequence[np.ndarray]) -> np.ndarray:
    """Join the pairs of several layers (GO-LSD, Peng et al. 2025, section 4.2).

    A query that layers disagree on keeps the object that most of them gave it; of equally many the first in
    the image, where the original code leaves the choice to its sort.

    Args:
        matches: (3, K) image, query, target of each layer.

    Returns:
        (3, K), each query of an image once.
    """
    pairs, counts = np.unique(np.concatenate(matches, axis=1), axis=1, return_counts=True)
    image, query, target = pairs
    pairs = pairs[:, np.lexsort((target, -counts, query, image))]
    is_first = np.ones(pairs.shape[1], dtype=bool)
    is_first[1:] = (pairs[:2, 1:] != pairs[:2, :-1]).any(0)
    return pairs[:, is_first]
