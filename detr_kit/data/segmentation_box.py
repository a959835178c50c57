"""The box around an object that a file gives as polygons or as run lengths only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .file_numbers import number, whole_number, whole_numbers

_LONGEST_SIDE = 2**20  # pixels


def box_of_segmentation(segmentation: Any) -> list[float] | None:
    """x, y, width, height in pixels, or None where the segmentation cannot be read.

    Args:
        segmentation: as in a COCO file: a list of polygons [x1, y1, x2, y2, …], or a dict of "size"
            (height, width) and "counts", compressed or not.
    """
    if isinstance(segmentation, list):
        return _of_polygons(segmentation)
    if isinstance(segmentation, Mapping):
        return _of_run_lengths(segmentation)
    return None


def _of_polygons(polygons: list[Any]) -> list[float] | None:
    if polygons and not isinstance(polygons[0], list):
        polygons = [polygons]  # one polygon without the list around it
    points: list[float | None] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return None
        points += [number(value) for value in polygon]
    if not points or None in points:
        return None
    xy = np.array(points, dtype=np.float64).reshape(-1, 2)
    low, high = xy.min(axis=0), xy.max(axis=0)
    return [float(v) for v in (*low, *(high - low))]


def _of_run_lengths(encoded: Mapping[str, Any]) -> list[float] | None:
    size, counts = encoded.get("size"), encoded.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        return None
    from pycocotools import mask  # few files have run lengths

    height, width = (whole_number(side) or 0 for side in size)
    if not (0 < height <= _LONGEST_SIDE and 0 < width <= _LONGEST_SIDE):
        return None
    encoding: Any = {"size": [height, width], "counts": counts}
    if isinstance(counts, list):
        runs = [-1 if run is None else run for run in whole_numbers(counts)]
        if min(runs, default=-1) < 0 or sum(runs) != height * width:
            return None
        encoding = mask.frPyObjects({**encoding, "counts": runs}, height, width)
    elif not _is_compressed(counts) or not 0 < float(mask.area(encoding)) <= height * width:
        return None
    return [float(v) for v in mask.toBbox(encoding)]


def _is_compressed(counts: Any) -> bool:
    """Whether a text has only the characters of run lengths, the last of them ending a run.

    pycocotools reads on behind the end of others.
    """
    if not isinstance(counts, str) or not counts.isascii():
        return False
    codes = [ord(character) - 48 for character in counts]
    return bool(codes) and all(0 <= code < 64 for code in codes) and not codes[-1] & 0x20
