"""A record that can be looked at."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..errors import InputError
from ..visualization import to_png
from .record import Record


class Explanation(Record):
    """Where a network looked for one detection; see Record for what is in it."""

    def plot(self, layer: int = -1) -> Image.Image:
        """The explanation as a figure.

        Args:
            layer: the decoder layer whose attention is drawn; the last by default.

        Raises:
            InputError: no such layer.
        """
        from .figure import draw  # matplotlib: a Detector that explains nothing needs none

        layers = len(self.boxes)
        if not -layers <= layer < layers:
            raise InputError(f"layer={layer}: the decoder has {layers} layers, 0 … {layers - 1}")
        return draw(self, layer % layers)

    def _repr_png_(self) -> bytes:
        """The figure, for notebooks."""
        return to_png(self.plot())

    def save(self, path: str | Path, layer: int = -1) -> Path:
        """Write the figure; the ending chooses the format.

        Raises:
            InputError: no such layer, an ending that is no image format, or a place that cannot be written.
        """
        path, picture = Path(path), self.plot(layer)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=92)
        except (ValueError, OSError) as error:
            raise InputError(f"{path}: the figure cannot be written: {error}; try a .png name") from error
        return path
