"""Cut-out: parts of the picture are hidden."""

from __future__ import annotations

import numpy as np
import torch

from ...registry import TRANSFORMS
from .scene import GREY, Scene, SceneTransform, uniform
from .visible_share import visible_share


@TRANSFORMS.register_module()
class CutOut(SceneTransform):
    """Grey rectangles over the picture (DeVries and Taylor 2017); objects that are hidden are dropped.

    transforms.v2's RandomErasing draws one, and leaves the boxes of what it hides.

    Args:
        max_holes: at most so many, a number from 1 on is drawn.
        size: of each hole's sides as a part of the picture's, drawn in between.
        min_visible: share of a box that has to stay in sight.
        fill: grey of the holes, 0 … 255.
        p: how often.
    """

    def __init__(
        self,
        max_holes: int = 4,
        size: tuple[float, float] = (0.05, 0.2),
        min_visible: float = 0.4,
        fill: int = GREY,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.max_holes, self.size, self.min_visible, self.fill = max_holes, size, min_visible, fill

    def change(self, scene: Scene) -> Scene:
        """With holes."""
        pixels = scene.pixels.copy()
        height, width = pixels.shape[:2]
        covered = np.zeros((height, width), bool)
        for _ in range(int(torch.randint(self.max_holes, ())) + 1):
            w, h = round(uniform(*self.size) * width), round(uniform(*self.size) * height)
            x, y = round(uniform(0, width - w)), round(uniform(0, height - h))
            covered[y : y + h, x : x + w] = True
        pixels[covered] = self.fill
        return scene._replace(pixels=pixels).only(visible_share(scene.boxes, covered) >= self.min_visible)
