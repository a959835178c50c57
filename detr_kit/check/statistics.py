"""Numbers that describe a split: classes, objects per image, box sizes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..data.annotation_table import AnnotationTable
from .list_findings import boxes_per_category, objects_per_image

SIZE_EDGES = (0, 4, 8, 16, 32, 64, 96, 128, 256, 512)
"""Pixels: where the bins of the box-size histogram begin; 32 and 96 are COCO's small, medium, large."""


@dataclass(frozen=True)
class Statistics:
    """Of one split.

    Attributes:
        num_images, num_boxes, num_crowd: counts; crowd regions are among the boxes.
        classes: (id, name, boxes, images that have some) of each category.
        objects_per_image: "min", "median", "mean", "max".
        box_sizes: boxes whose side (the root of the area, pixels) lies from each of SIZE_EDGES to the next.
    """

    num_images: int
    num_boxes: int
    num_crowd: int
    classes: list[tuple[int, str, int, int]]
    objects_per_image: dict[str, float]
    box_sizes: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        classes = [dict(zip(("id", "name", "boxes", "images"), row, strict=True)) for row in self.classes]
        return {**asdict(self), "classes": classes, "box_size_edges": list(SIZE_EDGES)}


def describe(table: AnnotationTable) -> Statistics:
    """Count what is in a table."""
    objects = objects_per_image(table)
    sides = np.sqrt(np.clip(table.xywh[:, 2:], 0, None).prod(axis=1))
    sides = sides[np.isfinite(sides)]
    histogram = (
        np.histogram(sides, bins=[*SIZE_EDGES, np.inf])[0] if len(sides) else np.zeros(len(SIZE_EDGES))
    )
    known = (table.label >= 0) & (table.owner >= 0)
    pairs = np.unique(table.label[known] * len(table.images) + table.owner[known])
    images = np.bincount(pairs // max(len(table.images), 1), minlength=len(table.categories))
    rows = zip(table.categories, boxes_per_category(table), images, strict=True)
    some = len(objects) > 0
    return Statistics(
        num_images=len(table.images),
        num_boxes=len(table.annotations),
        num_crowd=int(table.crowd.sum()),
        classes=[(c.get("id", -1), str(c.get("name")), int(boxes), int(seen)) for c, boxes, seen in rows],
        objects_per_image={
            "min": float(objects.min()) if some else 0.0,
            "median": float(np.median(objects)) if some else 0.0,
            "mean": float(objects.mean()) if some else 0.0,
            "max": float(objects.max()) if some else 0.0,
        },
        box_sizes=[int(n) for n in histogram],
    )
