"""Pixels of more than 8 bits as 8-bit ones, by a rule that is the same for every file."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

_RANGES = (8, 10, 12, 14, 16)  # what cameras, scanners and detectors deliver in 16-bit files
_told: set[int] = set()


class PixelRange(NamedTuple):
    """The range that a 16-bit file's values were taken for, 2 ** bits, and the highest of them."""

    bits: int
    highest: int


class OutOfRangeError(ValueError):
    """Pixels that are no grey levels of a known range; the message names theirs."""


def to_8_bit(pixels: np.ndarray, name: str = "image") -> tuple[np.ndarray, PixelRange]:
    """Integers of a 16-bit file -> (uint8, the range they were taken for).

    The range is the smallest of 8, 10, 12, 14 and 16 bits that holds the file's highest value, and its
    highest 8 bits are kept: files with 12 bits in 16 are not black, and files of one device are scaled alike
    as long as each has a pixel in the upper quarter of its range. A darker one becomes up to four times
    brighter than its neighbours. A file that does not use its 16 bits is told of, once a process for each
    range.

    Raises:
        OutOfRangeError: values below 0 or above 65535.
    """
    lowest, highest = int(pixels.min()), int(pixels.max())
    if lowest < 0 or highest > 65535:
        raise OutOfRangeError(f"its pixels go from {lowest} to {highest}, where 0 … 65535 are read")
    bits = next(bits for bits in _RANGES if highest < 1 << bits)
    if bits < 16 and bits not in _told:
        _told.add(bits)
        warnings.warn(
            f"{name}: a 16-bit file with values up to {highest} is taken for {bits}-bit and scaled from "
            f"0 … {(1 << bits) - 1} to 0 … 255; so are others like it",
            stacklevel=2,
        )
    return (pixels >> (bits - 8)).astype(np.uint8), PixelRange(bits, highest)


def float_to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Floating-point grey levels, of 0 … 1 or of 0 … 255 -> uint8.

    Raises:
        OutOfRangeError: others, or values that are not finite.
    """
    if not np.isfinite(pixels).all():
        raise OutOfRangeError("floating-point pixels that are not finite, where 0 … 1 or 0 … 255 are read")
    lowest, highest = float(pixels.min()), float(pixels.max())
    if lowest < 0 or highest > 255:
        raise OutOfRangeError(
            f"floating-point pixels outside 0 … 255: they go from {lowest:g} to {highest:g}; scale them to "
            "0 … 1 or 0 … 255"
        )
    return (pixels * (255 if highest <= 1 else 1)).round().astype(np.uint8)
