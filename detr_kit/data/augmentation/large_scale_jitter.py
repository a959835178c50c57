"""Large-scale jitter: the picture much smaller or larger."""

from __future__ import annotations

from ...registry import TRANSFORMS
from .place import place
from .scene import GREY, Scene, SceneTransform, blank, uniform


@TRANSFORMS.register_module()
class LargeScaleJitter(SceneTransform):
    """The picture at a scale drawn from a wide range, anywhere on a square (Ghiasi et al. 2021, LSJ).

    A picture that is smaller than the square has grey around it, of a larger one a window is seen.

    Args:
        size: of the square, pixels.
        scale: drawn in between; at 1 the picture just fits.
        min_visible, fill: see `Mosaic`.
        p: how often.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.1, 2.0),
        min_visible: float = 0.25,
        fill: int = GREY,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.size, self.scale, self.min_visible, self.fill = size, scale, min_visible, fill

    def change(self, scene: Scene) -> Scene:
        """On the square."""
        height, width = scene.pixels.shape[:2]
        scale = uniform(*self.scale) * self.size / max(height, width)
        canvas = blank(self.size, self.size, self.fill)
        # From 0 to what is free, or, where the picture is larger, from what is too much to 0.
        corner = [round(uniform(0, 1) * (self.size - length * scale)) for length in (width, height)]
        return place(canvas, scene, scale, corner, (0, 0, self.size, self.size), self.min_visible)._replace(
            pixels=canvas
        )
