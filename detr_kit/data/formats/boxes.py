"""Boxes of the formats, as COCO has them: x, y, width, height in pixels, from the picture's corner."""

from __future__ import annotations

from collections.abc import Sequence


def yolo_to_coco(box: Sequence[float], width: int, height: int) -> list[float]:
    """cx, cy, w, h as parts of the image -> x, y, width, height in pixels."""
    cx, cy, w, h = box
    return [(cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height]


def polygon_to_coco(points: Sequence[float], width: int, height: int) -> list[float]:
    """x1, y1, x2, y2, … as parts of the image -> the box around them in pixels."""
    xs, ys = points[0::2], points[1::2]
    left, top = min(xs) * width, min(ys) * height
    return [left, top, max(xs) * width - left, max(ys) * height - top]


def voc_to_coco(corners: Sequence[float], first_pixel: int = 1) -> list[float]:
    """xmin, ymin, xmax, ymax, which name the first and the last pixel -> x, y, width, height.

    A point (both corners the same) is no object but a slip of the mouse, and stays without area.

    Args:
        corners: pixel numbers.
        first_pixel: number of the picture's first pixel. Pascal VOC counts from 1: its box 1, 1, 10, 20 is
            0, 0, 10, 20. With 0 the corners are taken as distances, as programs write them that know no
            pixel numbers: 0, 0, 10, 20 is 0, 0, 10, 20.
    """
    xmin, ymin, xmax, ymax = corners
    if (xmin, ymin) == (xmax, ymax):
        return [xmin - first_pixel, ymin - first_pixel, 0.0, 0.0]
    left, top = xmin - first_pixel, ymin - first_pixel
    return [left, top, xmax - left, ymax - top]
