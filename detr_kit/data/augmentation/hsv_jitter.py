"""Colours by hue, saturation and value."""

from __future__ import annotations

import cv2
import numpy as np

from ...registry import TRANSFORMS
from .scene import Scene, SceneTransform, uniform


@TRANSFORMS.register_module()
class HSVJitter(SceneTransform):
    """Hue turned, saturation and value multiplied, by tables of 256 entries (YOLO's).

    transforms.v2's ColorJitter and RandomPhotometricDistort do the same and more, in ten times the time.

    Args:
        hue: largest turn, as a part of the circle.
        saturation, value: largest change of the factor 1.
        p: how often.
    """

    def __init__(
        self, hue: float = 0.015, saturation: float = 0.5, value: float = 0.4, p: float = 1.0
    ) -> None:
        super().__init__(p)
        self.hue, self.saturation, self.value = hue, saturation, value

    def change(self, scene: Scene) -> Scene:
        """In other colours."""
        steps = np.arange(256, dtype=np.float64)
        turn = uniform(-self.hue, self.hue) * 180  # OpenCV's circle has 180 steps
        tables = np.empty((256, 1, 3), np.uint8)
        tables[:, 0, 0] = (steps + turn).round() % 180
        for channel, most in ((1, self.saturation), (2, self.value)):
            tables[:, 0, channel] = (steps * uniform(1 - most, 1 + most)).round().clip(0, 255)
        hsv = cv2.LUT(cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2HSV), tables)
        return scene._replace(pixels=cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
