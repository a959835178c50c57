"""Batches of images of like shape, so that little of a batch is padding."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch.utils.data import BatchSampler, Sampler

from ..registry import DATA_SAMPLERS
from .sampler import Draw


@DATA_SAMPLERS.register_module()
class AspectRatioBatchSampler(BatchSampler):
    """Groups landscape with landscape and portrait with portrait; the order is otherwise the sampler's.

    Args:
        sampler: gives indices or Draws; its `dataset` has `aspect_ratios`.
        batch_size: images in a batch.
        drop_last: leave out the incomplete batches at the end (at most one landscape, one portrait).

    Attributes:
        skip: how many batches an iteration leaves out at its beginning, for a run that goes on within an
            epoch; their images are not read.
    """

    def __init__(self, sampler: Sampler, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.portrait = sampler.dataset.aspect_ratios < 1  # type: ignore[attr-defined]
        self.skip = 0

    def __iter__(self) -> Iterator[list]:
        return itertools.islice(self._batches(), self.skip, None)

    def _batches(self) -> Iterator[list]:
        waiting: tuple[list, list] = ([], [])
        for drawn in self.sampler:
            index = drawn.image if isinstance(drawn, Draw) else drawn
            group = waiting[int(self.portrait[index])]
            group.append(drawn)
            if len(group) == self.batch_size:
                yield group[:]
                group.clear()
        # What is left of both groups fills up whole batches first: as many as the length says.
        rest = waiting[0] + waiting[1]
        for start in range(0, len(rest), self.batch_size):
            batch = rest[start : start + self.batch_size]
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch
