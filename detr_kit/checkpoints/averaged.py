"""Which of several sets of weights in a file are running averages, by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable

_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|polyak|shadow|teacher)([._]|$)")


def is_averaged(place: str) -> bool:
    """Whether a dotted place in a file, or the prefix of its keys, is that of averaged weights."""
    return bool(_AVERAGED.search(place.lower()))


def covers(keys: Iterable[str], others: Iterable[str]) -> bool:
    """Whether weights are complete: they have all that others have (counters of batches do not matter)."""
    return not [key for key in set(others) - set(keys) if not key.endswith("num_batches_tracked")]
