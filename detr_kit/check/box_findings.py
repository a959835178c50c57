"""Faults of boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .annotation_table import AnnotationTable
from .finding import ERROR, NUM_EXAMPLES, WARNING, Example, Finding, finding

_EDGE = 1.0  # pixels that a box may reach over the edge by rounding


def box_findings(table: AnnotationTable) -> Iterator[Finding]:
    """Each kind of fault that some box of the table has; a box is reported under its worst one alone."""
    finite = np.isfinite(table.xywh).all(axis=1)
    negative = finite & (table.xywh[:, 2:] < 0).any(axis=1)
    empty = finite & ~negative & (table.xywh[:, 2:] == 0).any(axis=1)
    sound = finite & ~negative & ~empty
    normalised = sound & _normalised(table)
    sound &= ~normalised
    outside, over = _beyond(table, sound)
    corners = sound if _look_like_corners(table, sound, outside | over) else np.zeros_like(sound)
    yield from _found(table, "box-malformed", ~table.is_box)
    yield from _found(table, "box-nan", table.is_box & ~finite)
    yield from _found(table, "box-negative", negative)
    yield from _found(table, "box-zero-area", empty)
    # A few could be tiny boxes in a corner; a tenth of the set could not.
    many = normalised.sum() >= 0.1 * max(len(normalised), 1)
    yield from _found(table, "boxes-normalised", normalised, ERROR if many else WARNING)
    yield from _found(table, "boxes-xyxy", corners)
    yield from _found(table, "box-outside", outside & ~corners)
    yield from _found(table, "box-over-edge", over & ~corners)
    yield from _found(table, "boxes-twice", _repeated(table, sound))


def example(table: AnnotationTable, index: int, value: Any = None) -> Example:
    """An annotation as an example: where it stands, its id, and its box unless told another value."""
    annotation = table.annotations[index]
    owner = int(table.owner[index])
    image = table.images[owner] if owner >= 0 else {}
    picture = f" of {image['file_name']}" if image.get("file_name") else ""
    where = str(annotation.get("origin", table.file))
    shown = f"bbox={_short(annotation.get('bbox'))}" if value is None else str(value)
    known = table.sizes[owner] if owner >= 0 else np.array([np.nan])
    size = f" ({known[0]:g} × {known[1]:g} pixels)" if value is None and np.isfinite(known).all() else ""
    name = f"annotation id {annotation.get('id', '?')}{picture}"
    return Example(where, name, shown + size, owner if owner >= 0 else None, index)


def _found(table: AnnotationTable, name: str, mask: np.ndarray, verdict: str = "") -> Iterable[Finding]:
    indices = np.flatnonzero(mask)
    if len(indices):
        yield finding(name, [example(table, i) for i in indices[:NUM_EXAMPLES]], len(indices), verdict)


def _short(box: Any) -> str:
    if not isinstance(box, list):
        return repr(box)[:60]
    return "[" + ", ".join(f"{v:.6g}" if isinstance(v, float) else repr(v) for v in box[:6]) + "]"


def _normalised(table: AnnotationTable) -> np.ndarray:
    """Boxes within the first pixel, of a picture that has more; one of exactly 1 × 1 pixels is no sign."""
    inside = (table.xywh >= 0).all(axis=1) & (table.xywh <= 1).all(axis=1)
    whole = (table.xywh == np.round(table.xywh)).all(axis=1)
    small_picture = table.has_size & (table.canvas <= 2).all(axis=1)
    return inside & ~whole & ~small_picture


def _beyond(table: AnnotationTable, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes wholly outside their picture, and others that reach over its edge."""
    start, end = table.xywh[:, :2], table.xywh[:, :2] + table.xywh[:, 2:]
    checked = sound & table.has_size
    outside = checked & ((end <= 0) | (start >= table.canvas)).any(axis=1)
    over = checked & ~outside & ((start < -_EDGE) | (end > table.canvas + _EDGE)).any(axis=1)
    return outside, over


def _look_like_corners(table: AnnotationTable, sound: np.ndarray, beyond: np.ndarray) -> bool:
    """Whether the set's boxes are x0, y0, x1, y1: as width and height these reach over the edge of every
    picture whose right or lower half is used, and the second point is always right of and below the first."""
    checked = sound & table.has_size
    if not checked.any():
        return False
    x, y, w, h = table.xywh[checked].T
    canvas = table.canvas[checked] + _EDGE
    fits = (w > x) & (h > y) & (w <= canvas[:, 0]) & (h <= canvas[:, 1])
    return bool(fits.mean() > 0.95 and beyond[checked].mean() > 0.25)


def _repeated(table: AnnotationTable, sound: np.ndarray) -> np.ndarray:
    """The second and further of equal boxes of one class in one image."""
    rows = np.flatnonzero(sound & (table.owner >= 0) & ~table.crowd)
    result = np.zeros(len(sound), dtype=bool)
    if len(rows) == 0:
        return result
    # Equal boxes stand beside each other when sorted by image and position.
    order = rows[np.lexsort((table.label[rows], table.xywh[rows, 0], table.xywh[rows, 1], table.owner[rows]))]
    first, second = order[:-1], order[1:]
    same = (table.owner[first] == table.owner[second]) & (table.label[first] == table.label[second])
    result[second[same & (table.xywh[first] == table.xywh[second]).all(axis=1)]] = True
    return result
