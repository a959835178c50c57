"""The detections of one image, as users handle them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from .categories import Categories
from .errors import InputError
from .evaluation import to_coco_detections
from .structures import Prediction
from .visualization import draw_boxes

if TYPE_CHECKING:
    import supervision


@dataclass
class Detections:
    """Objects found in one image, best first; CPU tensors.

    Attributes:
        boxes: (N, 4) float32 xyxy in pixels of the original image.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 indices into `categories.names`.
        categories: names and original category ids of all classes.
        image: (H, W, 3) uint8 RGB, the original image.
        path: where it came from, "" for an array.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    categories: Categories
    image: np.ndarray
    path: str = ""

    @property
    def class_names(self) -> list[str]:
        """The name of each detection's class."""
        return [self.categories.names[label] for label in self.labels.tolist()]

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        found = ", ".join(
            f"{n} {s:.2f}" for n, s in zip(self.class_names[:5], self.scores.tolist(), strict=False)
        )
        return f"Detections({len(self)} in {self.path or 'image'}: {found}{', …' if len(self) > 5 else ''})"

    def plot(self) -> Image.Image:
        """The image with boxes, class names and scores drawn on it."""
        captions = [f"{n} {s:.2f}" for n, s in zip(self.class_names, self.scores.tolist(), strict=True)]
        return draw_boxes(self.image, self.boxes.tolist(), self.labels.tolist(), captions)

    def save(self, path: str | Path) -> Path:
        """Write the drawn image; the ending chooses the format.

        Raises:
            InputError: an ending that is no image format, or a place that cannot be written.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.plot().save(path)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{path}: the picture cannot be written: {error}; try a .png or .jpg name"
            ) from error
        return path

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO results: the data set's category ids, boxes as x, y, width, height in pixels."""
        return to_coco_detections(Prediction(self.scores, self.labels, self.boxes), image_id, self.categories)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: path, width, height, and a list of detections with class, id, score and xyxy box."""
        rows = zip(self.labels.tolist(), self.scores.tolist(), self.boxes.tolist(), strict=True)
        return {
            "path": self.path,
            "width": self.image.shape[1],
            "height": self.image.shape[0],
            "detections": [
                {
                    "label": label,
                    "class_name": self.categories.names[label],
                    "category_id": self.categories.ids[label],
                    "score": score,
                    "box": box,
                }
                for label, score, box in rows
            ],
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict())

    def to_supervision(self) -> supervision.Detections:
        """For roboflow's supervision (extra `supervision`); class names are in `.data["class_name"]`.

        Raises:
            InputError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise InputError("to_supervision needs: pip install 'detr-kit[supervision]'") from error
        return supervision.Detections(
            xyxy=self.boxes.numpy().reshape(-1, 4),
            confidence=self.scores.numpy(),
            class_id=self.labels.numpy(),
            data={"class_name": np.array(self.class_names, dtype=object)},
        )
