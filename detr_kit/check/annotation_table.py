"""A split's annotations as arrays, faulty ones included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..data.coco_annotations import is_box
from ..data.formats import Content


@dataclass(frozen=True)
class AnnotationTable:
    """What a check looks at; unlike `CocoAnnotations` it takes everything as it stands.

    Attributes:
        file: for messages.
        images, annotations, categories: the lists of the file.
        xywh: (A, 4) float64, NaN where a box is not four numbers; is_box: (A,) where it is.
        owner: (A,) index of the image, −1 for none; label: (A,) index of the category, −1 for none.
        sizes: (I, 2) float64 (width, height), NaN where unknown.
        crowd: (A,) bool.
    """

    file: str
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    xywh: np.ndarray
    is_box: np.ndarray
    owner: np.ndarray
    label: np.ndarray
    sizes: np.ndarray
    crowd: np.ndarray

    @cached_property
    def has_size(self) -> np.ndarray:
        """(A,) boxes of a known image whose size is known."""
        known = np.isfinite(self.sizes).all(axis=1)
        return (self.owner >= 0) & np.append(known, False)[self.owner]

    @cached_property
    def canvas(self) -> np.ndarray:
        """(A, 2) width and height of each box's image, NaN where unknown."""
        return np.vstack((self.sizes, [np.nan, np.nan]))[self.owner]


def annotation_table(file: str, content: Content) -> AnnotationTable:
    """Pack the lists of a split."""
    images, annotations, categories = (content.data[k] for k in ("images", "annotations", "categories"))
    raw = [annotation.get("bbox") for annotation in annotations]
    good = np.fromiter(map(is_box, raw), dtype=bool, count=len(raw))
    xywh = np.full((len(raw), 4), np.nan)
    if good.any():
        xywh[good] = np.array([box for box, ok in zip(raw, good, strict=True) if ok], dtype=np.float64)
    return AnnotationTable(
        file=file,
        images=images,
        annotations=annotations,
        categories=categories,
        xywh=xywh,
        is_box=good,
        owner=_indices(annotations, "image_id", images),
        label=_indices(annotations, "category_id", categories),
        sizes=np.array([[_side(i, "width"), _side(i, "height")] for i in images]).reshape(-1, 2),
        crowd=np.array([bool(a.get("iscrowd")) for a in annotations], dtype=bool),
    )


def _indices(entries: list[dict[str, Any]], key: str, targets: list[dict[str, Any]]) -> np.ndarray:
    """Which of the targets each entry names by its id, −1 for none."""
    index_of = {t["id"]: i for i, t in reversed(list(enumerate(targets))) if isinstance(t.get("id"), int)}
    names = (entry.get(key) for entry in entries)
    found = (index_of.get(name, -1) if isinstance(name, int) else -1 for name in names)
    return np.fromiter(found, dtype=np.int64, count=len(entries))


def _side(image: Mapping[str, Any], key: str) -> float:
    value = image.get(key)
    return float(value) if isinstance(value, int | float) and value > 0 else float("nan")
