"""Turns by 90°, 180° and 270°."""

from __future__ import annotations

import numpy as np
import torch

from ...registry import TRANSFORMS
from .scene import Scene, SceneTransform


@TRANSFORMS.register_module()
class RandomQuarterTurn(SceneTransform):
    """No turn, or one of 90°, 180° or 270°, each as likely: for pictures without up and down.

    Exact: pixels are moved, none is computed. With flips these are all eight views of a slide.
    """

    def __init__(self) -> None:
        super().__init__()

    def change(self, scene: Scene) -> Scene:
        """Turned against the clock."""
        turns = int(torch.randint(4, ()))
        boxes, (height, width) = scene.boxes, scene.pixels.shape[:2]
        for _ in range(turns):
            x0, y0, x1, y1 = boxes.unbind(1)
            boxes = torch.stack((y0, width - x1, y1, width - x0), dim=1)
            height, width = width, height
        return scene._replace(pixels=np.ascontiguousarray(np.rot90(scene.pixels, turns)), boxes=boxes)
