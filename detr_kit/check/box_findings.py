"""Faults of boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..data.annotation_table import FAULTS, AnnotationTable
from .finding import ERROR, NUM_EXAMPLES, WARNING, Example, Finding, finding

_EDGE = 1.0  # pixels that a box may reach over the edge by rounding


def box_findings(table: AnnotationTable, verdict: str) -> Iterator[Finding]:
    """Each kind of fault that some annotation of the table has; one is reported under its worst alone.

    Args:
        verdict: on annotations that have to be left out, as many as there are.
    """
    outside = table.with_fault("box-outside")
    normalised = (table.faults == 0) & _normalised(table)
    sound = (table.faults == 0) & ~normalised
    over = sound & table.has_size & _over_edge(table)
    corners = np.zeros_like(sound)
    if _look_like_corners(table, sound | outside, outside | over):
        corners = sound | outside
    for name, (field, _) in FAULTS.items():
        if name:
            yield from _found(table, name, table.with_fault(name) & ~corners, verdict, field)
    # A few could be tiny boxes in a corner; a tenth of the set could not.
    many = normalised.sum() >= 0.1 * max(len(normalised), 1)
    yield from _found(table, "boxes-normalised", normalised, ERROR if many else WARNING)
    yield from _found(table, "boxes-xyxy", corners)
    yield from _found(table, "box-over-edge", over & ~corners)
    yield from _found(table, "boxes-twice", _repeated(table, sound))
    yield from _found(table, "boxes-from-segmentation", table.from_segmentation, field="segmentation")
    yield from _found(table, "areas-replaced", table.area_replaced & (table.faults == 0), field="area")


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


def _found(
    table: AnnotationTable, name: str, mask: np.ndarray, verdict: str = "", field: str = "bbox"
) -> Iterable[Finding]:
    """The annotations of a mask, shown by the field that is in question."""
    indices = np.flatnonzero(mask)
    if len(indices):
        examples = [example(table, i, _value(table.annotations[i], field)) for i in indices[:NUM_EXAMPLES]]
        yield finding(name, examples, len(indices), verdict)


def _value(annotation: Mapping[str, Any], field: str) -> str | None:
    """What a field says; None for a box, which an example shows by itself."""
    if field not in annotation:
        return f"no {field!r}"
    value = annotation[field]
    return None if field == "bbox" else f"{field}={repr(value) if isinstance(value, str) else value}"[:80]


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


def _over_edge(table: AnnotationTable) -> np.ndarray:
    """(A,) boxes that reach over their picture's edge."""
    start, end = table.xywh[:, :2], table.xywh[:, :2] + table.xywh[:, 2:]
    return ((start < -_EDGE) | (end > table.canvas + _EDGE)).any(axis=1)


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
