"""Mosaic: four pictures in one."""

from __future__ import annotations

import numpy as np
import torch

from ...registry import TRANSFORMS
from ..partners import draw_partner
from .place import joined, place
from .scene import GREY, Scene, SceneTransform, blank, uniform


@TRANSFORMS.register_module()
class Mosaic(SceneTransform):
    """The picture and three others of the data set around a point (Bochkovskiy et al. 2020, YOLOv4).

    ```
    ┌─────────┬────┐   each picture has its own scale and touches the point with a corner;
    │    1    │ 2  │   what reaches beyond its quarter is cut off
    ├─────────·────┤
    │    3    │ 4  │
    └─────────┴────┘
    ```

    With `scale=(0.5, 0.5), centre=(0.5, 0.5)` it is the dense one-to-one mosaic of DEIM (Huang et al. 2025):
    four times the objects on a canvas of the usual size.

    Args:
        size: of the square, pixels.
        scale: of each picture's long side as a part of `size`, drawn in between.
        centre: where the point lies as a part of `size`, across and down, drawn in between.
        min_visible: share of a box that has to be left in its quarter; see `Scene.clipped`.
        fill: grey where no picture is, 0 … 255.
        p: how often.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.4, 1.0),
        centre: tuple[float, float] = (0.3, 0.7),
        min_visible: float = 0.25,
        fill: int = GREY,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.size, self.scale, self.centre = size, scale, centre
        self.min_visible, self.fill = min_visible, fill

    def change(self, scene: Scene) -> Scene:
        """The picture in any quarter, the others in the rest."""
        scenes = [scene, *(Scene.of_sample(draw_partner()) for _ in range(3))]
        canvas = blank(self.size, self.size, self.fill)
        x, y = (round(uniform(*self.centre) * self.size) for _ in range(2))
        placed = []
        for quarter, index in enumerate(torch.randperm(4).tolist()):
            placed.append(self._place(canvas, scenes[index], (x, y), quarter % 2 == 1, quarter >= 2))
        return joined(canvas, placed)

    def _place(
        self, canvas: np.ndarray, scene: Scene, centre: tuple[int, int], is_right: bool, is_low: bool
    ) -> Scene:
        height, width = scene.pixels.shape[:2]
        scale = uniform(*self.scale) * self.size / max(height, width)
        x, y = centre
        corner = (
            x if is_right else x - max(round(width * scale), 1),
            y if is_low else y - max(round(height * scale), 1),
        )
        columns = (x, self.size) if is_right else (0, x)
        rows = (y, self.size) if is_low else (0, y)
        region = (columns[0], rows[0], columns[1], rows[1])
        return place(canvas, scene, scale, corner, region, self.min_visible)
