"""Rotation, scale, shear, translation and perspective in one."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...registry import TRANSFORMS
from .scene import GREY, Scene, SceneTransform, uniform

_POINTS = 64  # on an ellipse: its extent is found to 0.12 %


@TRANSFORMS.register_module()
class RandomWarp(SceneTransform):
    """The picture rotated, scaled, sheared, moved and tilted, resampled once, at its own size.

    transforms.v2 has RandomAffine and RandomPerspective apart: two resamplings, and boxes around the turned
    boxes. A round object turned by 45° would get a box of twice its area; so boxes are drawn around the
    turned *ellipse* in the box (Kalra et al. 2021, "Towards rotation invariance in object detection").

    Args:
        degrees: largest rotation to either side.
        scale: factor, drawn in between.
        shear: largest shear in degrees, of both axes.
        translate: largest shift, as a part of the picture's sides.
        perspective: largest tilt: how much nearer or further one side is than the centre, as a part.
        outline: "ellipse" or "corners": what is taken for the object's outline in its box.
        min_visible, fill: see `Mosaic`.
        p: how often.

    Raises:
        InputError: another outline, or a tilt of a half or more.
    """

    def __init__(
        self,
        degrees: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        translate: float = 0.0,
        perspective: float = 0.0,
        outline: str = "ellipse",
        min_visible: float = 0.25,
        fill: int = GREY,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        if outline not in _OUTLINES:
            raise InputError(f"RandomWarp: outline={outline!r}; it must be one of {', '.join(_OUTLINES)}")
        if not 0 <= perspective < 0.5:
            raise InputError(f"RandomWarp: perspective={perspective}; it must be in [0, 0.5)")
        self.degrees, self.scale, self.shear, self.translate = degrees, scale, shear, translate
        self.perspective, self.outline = perspective, outline
        self.min_visible, self.fill = min_visible, fill

    def change(self, scene: Scene) -> Scene:
        """Seen from elsewhere."""
        height, width = scene.pixels.shape[:2]
        matrix = self._matrix(height, width)
        # OpenCV's pixels lie at whole numbers, ours at halves: a shift before and after.
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        of_pixels = np.linalg.inv(half) @ matrix @ half
        pixels = cv2.warpPerspective(
            scene.pixels, of_pixels, (width, height), flags=cv2.INTER_LINEAR, borderValue=(self.fill,) * 3
        )
        boxes = _mapped(_OUTLINES[self.outline](scene.boxes.double()), torch.from_numpy(matrix))
        turned = scene._replace(pixels=pixels, boxes=boxes.float())
        return turned.clipped((0, 0, width, height), self.min_visible)

    def _matrix(self, height: int, width: int) -> np.ndarray:
        """(3, 3) float64: where a point x, y, 1 of the picture goes, in pixels."""
        angle = math.radians(uniform(-self.degrees, self.degrees))
        shears = [math.tan(math.radians(uniform(-self.shear, self.shear))) for _ in range(2)]
        factor = uniform(*self.scale)
        shift = [uniform(-self.translate, self.translate) for _ in range(2)]
        tilt = [uniform(-self.perspective, self.perspective) for _ in range(2)]
        centre, back = np.eye(3), np.eye(3)
        centre[:2, 2] = -width / 2, -height / 2
        back[:2, 2] = width * (0.5 + shift[0]), height * (0.5 + shift[1])
        tilted = np.eye(3)
        tilted[2, :2] = tilt[0] * 2 / width, tilt[1] * 2 / height
        cos, sin = factor * math.cos(angle), factor * math.sin(angle)
        turned = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        sheared = np.array([[1, shears[0], 0], [shears[1], 1, 0], [0, 0, 1]])
        return back @ sheared @ turned @ tilted @ centre


def _corners(boxes: Tensor) -> Tensor:
    """(N, 4, 2) of boxes (N, 4) xyxy."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2)


def _ellipse(boxes: Tensor) -> Tensor:
    """(N, 64, 2) points on the ellipse in each box."""
    angle = torch.arange(_POINTS, dtype=boxes.dtype) * (2 * math.pi / _POINTS)
    unit = torch.stack((angle.cos(), angle.sin()), dim=1)
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return centre[:, None] + half[:, None] * unit


_OUTLINES = {"ellipse": _ellipse, "corners": _corners}


def _mapped(outlines: Tensor, matrix: Tensor) -> Tensor:
    """(N, 4) xyxy around where the points (N, P, 2) go."""
    homogeneous = torch.nn.functional.pad(outlines, (0, 1), value=1.0) @ matrix.T
    points = homogeneous[..., :2] / homogeneous[..., 2:]  # above 0, with tilts below a half
    return torch.cat((points.amin(1), points.amax(1)), dim=1)
