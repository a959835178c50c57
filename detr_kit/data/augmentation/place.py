"""Putting a picture into another at a size and a place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from .scene import Scene


def resized(pixels: np.ndarray, scale: float) -> np.ndarray:
    """(H, W, 3) at another size; where it shrinks to less than a half, halved by averages first.

    Averaging to any size in one (INTER_AREA) takes six times as long.
    """
    height, width = pixels.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    while scale < 0.5 and min(pixels.shape[:2]) > 1:
        half = (pixels.shape[1] + 1) // 2, (pixels.shape[0] + 1) // 2
        pixels, scale = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), 2 * scale
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


def place(
    canvas: np.ndarray,
    scene: Scene,
    scale: float,
    corner: Sequence[int],
    region: Sequence[int],
    min_visible: float,
) -> Scene:
    """Draw a scaled picture into a region of a canvas, in place.

    Args:
        canvas: (H, W, 3) uint8.
        corner: x, y of the picture's upper left corner on the canvas, pixels; it may lie outside.
        region: x0, y0, x1, y1 in pixels: what lies beyond is cut off.
        min_visible: see `Scene.clipped`.

    Returns:
        The picture's objects on the canvas.
    """
    pixels = resized(scene.pixels, scale)
    height, width = pixels.shape[:2]
    (x, y), (x0, y0, x1, y1) = corner, region
    left, top = max(x, x0, 0), max(y, y0, 0)
    right, bottom = min(x + width, x1, canvas.shape[1]), min(y + height, y1, canvas.shape[0])
    if right > left and bottom > top:
        canvas[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
    # The real scale of each side, after rounding to whole pixels.
    real = width / scene.pixels.shape[1], height / scene.pixels.shape[0]
    boxes = scene.boxes * scene.boxes.new_tensor(real * 2) + scene.boxes.new_tensor((x, y) * 2)
    return scene._replace(boxes=boxes).clipped((left, top, max(right, left), max(bottom, top)), min_visible)


def joined(canvas: np.ndarray, parts: Sequence[Scene]) -> Scene:
    """The objects of several pictures on one canvas."""
    return Scene(canvas, torch.cat([p.boxes for p in parts]), torch.cat([p.labels for p in parts]))
