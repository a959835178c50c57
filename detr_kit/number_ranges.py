"""Numbers that users give, held against their ranges in one place."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from .errors import InputError


def check_share(name: str, value: Any, *, above: bool = False, remark: str = "") -> float:
    """A number in [0, 1], such as a score or an IoU.

    Args:
        name: what the message calls it.
        above: 0 itself is refused.
        remark: what else the message says.

    Raises:
        InputError: another number, NaN, or no number; a percentage is guessed at.
    """
    if _is_number(value, Real) and (value > 0 if above else value >= 0) and value <= 1:
        return float(value)
    per_cent = f"; {value:g} % is {value / 100:g}" if _is_number(value, Real) and 1 < value <= 100 else ""
    raise InputError(f"{name}={value!r}; it must be in {'(' if above else '['}0, 1]{remark}{per_cent}")


def check_count(name: str, value: Any, *, least: int = 1, most: int | None = None, remark: str = "") -> int:
    """A whole number of `least` or more, and `most` or less.

    Raises:
        InputError: another number, or none.
    """
    if _is_number(value, Integral) and value >= least and (most is None or value <= most):
        return int(value)
    bounds = f"{least} or more" if most is None else f"in [{least}, {most}]"
    raise InputError(f"{name}={value!r}; it must be {bounds}{remark} (a whole number)")


def check_above_zero(name: str, value: float | None) -> None:
    """A number larger than zero, or none at all.

    Raises:
        InputError: zero, less, infinity or NaN.
    """
    if value is not None and not 0 < value < math.inf:
        raise InputError(f"{name} {value}: it must be larger than 0")


def check_prediction(score_threshold: float, batch_size: int | None = None) -> None:
    """The numbers that every prediction is asked for with.

    Raises:
        InputError: one is out of its range.
    """
    check_share("score_threshold", score_threshold, remark=" (0 keeps everything)")
    if batch_size is not None:
        check_count("batch_size", batch_size, remark=", or left out")


def check_nms(nms_iou_threshold: float | None) -> None:
    """Raises InputError where the IoU beyond which duplicates are left out is none."""
    if nms_iou_threshold is not None:
        check_share("nms_iou_threshold", nms_iou_threshold, above=True, remark=", or None")


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
