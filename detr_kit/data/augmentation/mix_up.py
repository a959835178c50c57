"""MixUp: two pictures over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import torch
from torchvision.transforms import v2

from ...registry import TRANSFORMS
from ..partners import draw_partner
from .place import joined, place
from .scene import GREY, Scene, SceneTransform, blank


@TRANSFORMS.register_module()
class MixUp(SceneTransform):
    """The mean of the picture and another of the data set, with the objects of both (Zhang et al. 2018).

    The other one is fitted into the size of the first, at its upper left.

    Args:
        transforms: of the other picture before that, say a Mosaic of its own.
        alpha: the first one's weight is drawn from Beta(alpha, alpha): 32 (YOLOX) stays near one half.
        min_visible, fill: see `Mosaic`.
        p: how often.
    """

    def __init__(
        self,
        transforms: Sequence[Any] = (),
        alpha: float = 32.0,
        min_visible: float = 0.25,
        fill: int = GREY,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.transforms = v2.Compose(list(transforms)) if transforms else None
        self.alpha, self.min_visible, self.fill = alpha, min_visible, fill

    def change(self, scene: Scene) -> Scene:
        """Both pictures, seen through each other."""
        sample = draw_partner()
        other = Scene.of_sample(sample if self.transforms is None else self.transforms(sample))
        height, width = scene.pixels.shape[:2]
        canvas = blank(height, width, self.fill)
        scale = min(height / other.pixels.shape[0], width / other.pixels.shape[1])
        other = place(canvas, other, scale, (0, 0), (0, 0, width, height), self.min_visible)
        weight = _beta(self.alpha)
        return joined(cv2.addWeighted(scene.pixels, weight, canvas, 1 - weight, 0.0), [scene, other])


def _beta(alpha: float) -> float:
    """Drawn from Beta(alpha, alpha) by torch's global generator."""
    first, second = torch._standard_gamma(torch.tensor([alpha, alpha], dtype=torch.float64)).tolist()
    return first / (first + second)
