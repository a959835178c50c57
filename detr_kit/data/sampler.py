"""The order of a data set in training: shuffled anew each epoch, shared out among processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from ..registry import DATA_SAMPLERS
from .class_balance import repeat_factors
from .seeding import mix_seeds


class Draw(NamedTuple):
    """An image to read: its index in the data set, the seed of its augmentation, and the epoch from 0 on."""

    image: int
    seed: int
    epoch: int = 0


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler[Draw]):
    """Each image once an epoch, with a seed of its own that depends on (seed, epoch, position) only.

    Processes take turns, so together they draw what one process would. All get as many images, the first
    ones a second time where the number does not divide.

    Args:
        dataset: has a length; with class_balance also `labels_of_image(index)`.
        shuffle: a new order each epoch, otherwise the data set's.
        seed: of the order and of the augmentation.
        class_balance: images with a class that occurs in less than this share of the images are drawn more
            often, by sqrt(class_balance / share) (LVIS, Gupta et al. 2019, appendix); 0 draws all alike.

    Attributes:
        epoch: which one is drawn next; see `set_epoch`.
    """

    def __init__(
        self, dataset: Any, shuffle: bool = True, seed: int | None = None, class_balance: float = 0.0
    ) -> None:
        self.dataset, self.shuffle, self.seed, self.epoch = dataset, shuffle, seed or 0, 0
        running = dist.is_available() and dist.is_initialized()
        self.rank, self.world_size = (dist.get_rank(), dist.get_world_size()) if running else (0, 1)
        self.repeats = repeat_factors(dataset, class_balance) if class_balance else None
        total = len(dataset) if self.repeats is None else int(np.ceil(self.repeats.sum()))
        self.num_draws = total

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Images for this process."""
        return -(-self.num_draws // self.world_size)

    def __iter__(self) -> Iterator[Draw]:
        order = self._order(np.random.default_rng(mix_seeds(self.seed, self.epoch)))
        for position in range(self.rank, len(self) * self.world_size, self.world_size):
            index = int(order[position % len(order)])
            yield Draw(index, mix_seeds(self.seed, self.epoch, position), self.epoch)

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        indices = np.arange(len(self.dataset))
        if self.repeats is not None:
            # Evenly spaced points on the line of all factors: an image of factor 2.3 is met 2 or 3 times.
            step = self.repeats.sum() / self.num_draws
            points = (np.arange(self.num_draws) + rng.random()) * step
            indices = np.searchsorted(np.cumsum(self.repeats), points).clip(max=len(indices) - 1)
        return rng.permutation(indices) if self.shuffle else indices
