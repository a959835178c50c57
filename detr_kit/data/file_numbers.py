"""Numbers as programs write them into files: also as text, and with a point where none is needed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,30}(\.0*)?\s*", re.ASCII)
_INT64 = range(-(2**63), 2**63)
_WORDS = {"": False, "false": False, "no": False, "true": True, "yes": True}


def whole_number(value: Any) -> int | None:
    """5, 5.0, "5" and "5.0" as 5; None for what is no whole number, or more than 64 bits hold."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            return None
        value = int(value.strip().split(".")[0])
    elif isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    return value if isinstance(value, int) and value in _INT64 else None


def number(value: Any) -> float | None:
    """A number, also one written as text; NaN and infinity stay, None is what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:  # Python's own notation
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def truth(value: Any) -> bool | None:
    """A mark like `iscrowd`: 0, 1, true, "0", "true" or nothing at all; None for what says neither."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    found = number(value)
    return None if found is None or math.isnan(found) else found != 0


def whole_numbers(values: Sequence[Any]) -> list[int | None]:
    """`whole_number` of each, quickly where all are integers already."""
    if set(map(type, values)) <= {int} and (not values or (min(values) in _INT64 and max(values) in _INT64)):
        return list(values)
    return [whole_number(value) for value in values]


def numbers(values: Sequence[Any]) -> np.ndarray:
    """(N,) float64 of `number` of each, NaN where there is none."""
    if set(map(type, values)) <= {int, float, type(None)}:
        try:
            return np.array(values, dtype=np.float64).reshape(-1)
        except OverflowError:
            pass
    found = (number(value) for value in values)
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def fours(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) float64 of lists of four numbers, and (N,) bool where a value is one; NaN in the other rows."""
    is_four = np.fromiter((isinstance(v, list) and len(v) == 4 for v in values), bool, len(values))
    result = np.full((len(values), 4), np.nan)
    if is_four.all() and set(map(type, chain.from_iterable(values))) <= {int, float}:
        try:
            flat = np.fromiter(chain.from_iterable(values), np.float64, 4 * len(values))
            return flat.reshape(-1, 4), is_four
        except OverflowError:
            pass
    for index in map(int, np.flatnonzero(is_four)):
        row = [number(v) for v in values[index]]
        is_four[index] = None not in row
        if is_four[index]:
            result[index] = row
    return result, is_four
