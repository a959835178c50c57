"""A picture with its objects, as the transforms of this folder change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

GREY = 114  # what is drawn where there is no picture: YOLO's, about the mean of ImageNet


class Scene(NamedTuple):
    """A picture and its objects.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy, pixels; labels: (N,) int64.
    """

    pixels: np.ndarray
    boxes: Tensor
    labels: Tensor

    @classmethod
    def of_sample(cls, sample: dict[str, Any]) -> Scene:
        """What a data set hands to its transforms; pixels are shared, not copied."""
        pixels = np.ascontiguousarray(sample["image"].permute(1, 2, 0).numpy())
        boxes = torch.Tensor.as_subclass(sample["boxes"], Tensor).float().reshape(-1, 4)
        return cls(pixels, boxes, sample["labels"])

    def to_sample(self) -> dict[str, Any]:
        boxes = tv_tensors.BoundingBoxes(self.boxes, format="XYXY", canvas_size=self.pixels.shape[:2])
        image = tv_tensors.Image(torch.from_numpy(self.pixels).permute(2, 0, 1))
        return {"image": image, "boxes": boxes, "labels": self.labels}

    def only(self, keep: Tensor) -> Scene:
        """With these of its objects, (N,) bool."""
        return self._replace(boxes=self.boxes[keep], labels=self.labels[keep])

    def clipped(self, region: Sequence[float], min_visible: float) -> Scene:
        """Boxes cut at a region's edges; an object is dropped where too little of its box is left.

        Args:
            region: x0, y0, x1, y1 in pixels.
            min_visible: share of a box's area that has to be left, in [0, 1]; sides below a pixel never are
                enough.
        """
        low, high = self.boxes.new_tensor(region).view(2, 2)
        corners = self.boxes.view(-1, 2, 2)
        inside = torch.maximum(torch.minimum(corners, high), low)
        sides, whole = inside[:, 1] - inside[:, 0], corners[:, 1] - corners[:, 0]
        keep = (sides >= 1).all(1) & (sides.prod(1) >= min_visible * whole.prod(1))
        return self._replace(boxes=inside.flatten(1)).only(keep)


class SceneTransform(v2.Transform):
    """A transform of a picture and its objects together; a child says how in `change`.

    It stands in a list of transforms.v2 transforms and takes what they take: a dict of image, boxes, labels.
    All it draws is drawn by torch's global generator.

    Args:
        p: how often it is applied, in [0, 1].
    """

    def __init__(self, p: float = 1.0) -> None:
        super().__init__()
        self.p = p

    def forward(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Change the sample, or hand it on as it is."""
        if float(torch.rand(())) >= self.p:
            return sample
        return self.change(Scene.of_sample(sample)).to_sample()

    def change(self, scene: Scene) -> Scene:
        """The changed picture; the given one's pixels stay as they are."""
        raise NotImplementedError


def uniform(low: float, high: float) -> float:
    """A number between two, drawn by torch's global generator."""
    return low + (high - low) * float(torch.rand(()))


def blank(height: int, width: int, fill: int) -> np.ndarray:
    """(height, width, 3) uint8 of one grey."""
    return np.full((height, width, 3), fill, np.uint8)
