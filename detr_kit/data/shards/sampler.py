"""The order of a sharded set in training: shuffled, and yet few shards at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...registry import DATA_SAMPLERS
from ..sampler import EpochSampler


@DATA_SAMPLERS.register_module()
class ShardSampler(EpochSampler):
    """`EpochSampler` that draws from a few shards at a time, which are others every epoch.

    The shards are shuffled and taken in groups; within a group all samples are shuffled. An epoch's order
    depends on (seed, epoch) alone, as there, and so does each sample's augmentation on its position.

    Args:
        dataset: has `shard_of`; otherwise, and shuffle, seed, class_balance: as in `EpochSampler`.
        shards_at_once: shards of a group: more mix better, and a cache on disk has to hold them.
    """

    def __init__(
        self,
        dataset: Any,
        shuffle: bool = True,
        seed: int | None = None,
        class_balance: float = 0.0,
        shards_at_once: int = 8,
    ) -> None:
        super().__init__(dataset, shuffle, seed, class_balance)
        self.shards_at_once = shards_at_once

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        order = super()._order(rng)
        if not self.shuffle:
            return order
        shards = self.dataset.shard_of
        group = rng.permutation(int(shards.max()) + 1) // self.shards_at_once
        return order[np.argsort(group[shards[order]], kind="stable")]
