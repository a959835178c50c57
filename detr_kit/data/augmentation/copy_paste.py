"""Copy-paste: objects of another picture in this one."""

from __future__ import annotations

import numpy as np
import torch

from ...registry import TRANSFORMS
from ..partners import draw_partner
from .place import joined, resized
from .scene import Scene, SceneTransform, uniform
from .visible_share import visible_share


@TRANSFORMS.register_module()
class CopyPaste(SceneTransform):
    """Objects of another picture, cut out by their boxes and put anywhere (Ghiasi et al. 2021, no masks).

    What they hide is dropped; pasted ones do not cover each other.

    Args:
        max_objects: at most so many are pasted, a number from 1 on is drawn.
        scale: of each object, drawn in between.
        margin: of the surroundings that is cut out along, as a part of the box's sides.
        min_visible: share of a box that has to stay in sight.
        p: how often.
    """

    def __init__(
        self,
        max_objects: int = 5,
        scale: tuple[float, float] = (0.7, 1.4),
        margin: float = 0.05,
        min_visible: float = 0.5,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.max_objects, self.scale = max_objects, scale
        self.margin, self.min_visible = margin, min_visible

    def change(self, scene: Scene) -> Scene:
        """With some objects more."""
        other = Scene.of_sample(draw_partner())
        count = int(torch.randint(self.max_objects, ())) + 1
        canvas = scene.pixels.copy()
        covered = np.zeros(canvas.shape[:2], bool)
        pasted = [
            self._paste(canvas, covered, other, index)
            for index in torch.randperm(len(other.boxes))[:count].tolist()
        ]
        seen = visible_share(scene.boxes, covered) >= self.min_visible
        return joined(canvas, [scene.only(seen), *(part for part in pasted if part is not None)])

    def _paste(self, canvas: np.ndarray, covered: np.ndarray, other: Scene, index: int) -> Scene | None:
        """Draw one object; None where there is no room for it."""
        box = other.boxes[index]
        height, width = other.pixels.shape[:2]
        extra = (box[2:] - box[:2]).repeat(2) * self.margin * box.new_tensor([-1, -1, 1, 1])
        x0, y0, x1, y1 = (box + extra).round().int().tolist()
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        scale = uniform(*self.scale)
        across, down = uniform(0, 1), uniform(0, 1)  # drawn in any case, so that each paste is on its own
        if x1 <= x0 or y1 <= y0:
            return None
        patch = resized(other.pixels[y0:y1, x0:x1], scale)
        h, w = patch.shape[:2]
        x, y = int(across * (canvas.shape[1] - w + 1)), int(down * (canvas.shape[0] - h + 1))
        if h > canvas.shape[0] or w > canvas.shape[1] or covered[y : y + h, x : x + w].any():
            return None
        canvas[y : y + h, x : x + w] = patch
        covered[y : y + h, x : x + w] = True
        real = box.new_tensor((w / (x1 - x0), h / (y1 - y0)) * 2)
        moved = (box - box.new_tensor((x0, y0) * 2)) * real + box.new_tensor((x, y) * 2)
        return Scene(canvas, moved[None], other.labels[index][None]).clipped((x, y, x + w, y + h), 0.0)
