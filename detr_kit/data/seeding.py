"""Random numbers that depend on where a run stands and on nothing that happened before.

A run seeds from (seed, iteration) and (seed, epoch, position), not from the state of a generator. So a run
that was interrupted goes on exactly where it was, and neither the number of workers nor a restarted one
changes it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def mix_seeds(*numbers: int) -> int:
    """One 63-bit seed for several non-negative numbers; neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def seed_everything(seed: int) -> None:
    """Seed python's, numpy's and torch's global generators, every device's included."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002, the generator that augmentation libraries draw from
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed python's, numpy's and torch's CPU generators, and put them back afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
