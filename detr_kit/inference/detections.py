"""The detections of one image, as users handle them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..categories import Categories
from ..errors import InputError
from ..structures import Prediction
from ..visualization import draw_boxes, to_png

if TYPE_CHECKING:
    import pandas
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

    def __getitem__(
        self, index: int | slice | Sequence[int] | Sequence[bool] | np.ndarray | Tensor
    ) -> Detections:
        """Some of the detections: one by number, a slice, numbers, or a mask (N,) of True and False.

        Raises:
            IndexError: no detection has that number, or a mask is not of length N.
        """
        if isinstance(index, slice):
            chosen = torch.arange(len(self))[index]
        else:
            chosen = torch.as_tensor(index).reshape(-1)
            if not chosen.numel():
                chosen = chosen.long()
            if chosen.dtype == torch.bool and len(chosen) != len(self):
                raise IndexError(f"a mask of length {len(chosen)} for {len(self)} detections")
        return replace(self, boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen])

    @property
    def areas(self) -> Tensor:
        """(N,) area of each box in square pixels."""
        width, height = (self.boxes[:, 2:] - self.boxes[:, :2]).clamp(min=0).unbind(1)
        return width * height

    def filter(
        self,
        class_names: str | Sequence[str] | None = None,
        min_score: float | None = None,
        min_area: float | None = None,
        max_area: float | None = None,
    ) -> Detections:
        """The detections that meet every given condition.

        Args:
            class_names: one class or several.
            min_score: in [0, 1].
            min_area, max_area: of the box, in square pixels.

        Raises:
            InputError: a class that the detector does not know.
        """
        keep = torch.ones(len(self), dtype=torch.bool)
        if class_names is not None:
            wanted = {class_names} if isinstance(class_names, str) else set(class_names)
            unknown = wanted - set(self.categories.names)
            if unknown:
                known = ", ".join(self.categories.names)
                raise InputError(f"class_names: no class {sorted(unknown)[0]!r}; there are {known}")
            keep &= torch.tensor([name in wanted for name in self.class_names], dtype=torch.bool)
        if min_score is not None:
            keep &= self.scores >= min_score
        if min_area is not None:
            keep &= self.areas >= min_area
        if max_area is not None:
            keep &= self.areas <= max_area
        return self[keep]

    def crop(self, margin: float = 0.0) -> list[Image.Image]:
        """What is inside each box, cut out of the original image.

        Args:
            margin: added on each side, as a share of the box's sides; 0.1 shows a little of the surroundings.

        Returns:
            One image a detection; at least one pixel, also of a box without area.
        """
        image, pieces = Image.fromarray(self.image), []
        for x0, y0, x1, y1 in self.boxes.tolist():
            dx, dy = margin * (x1 - x0), margin * (y1 - y0)
            left = min(max(math.floor(x0 - dx), 0), image.width - 1)
            top = min(max(math.floor(y0 - dy), 0), image.height - 1)
            right = min(max(math.ceil(x1 + dx), left + 1), image.width)
            bottom = min(max(math.ceil(y1 + dy), top + 1), image.height)
            pieces.append(image.crop((left, top, right, bottom)))
        return pieces

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
            self.plot().save(path, quality=92)  # of formats that lose something
        except (ValueError, OSError) as error:
            raise InputError(
                f"{path}: the picture cannot be written: {error}; try a .png or .jpg name"
            ) from error
        return path

    def _repr_png_(self) -> bytes:
        """The drawn image, for notebooks."""
        return to_png(self.plot())

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO results: the data set's category ids, boxes as x, y, width, height in pixels."""
        from ..evaluation import to_coco_detections  # brings the metric's packages along

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

    def to_pandas(self) -> pandas.DataFrame:
        """A table, one row a detection (extra `pandas`): class_name, score, x0, y0, x1, y1 in pixels, label.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("to_pandas needs: pip install 'detr-kit[pandas]'") from error
        columns = dict(zip(("x0", "y0", "x1", "y1"), self.boxes.reshape(-1, 4).T.numpy(), strict=True))
        return pandas.DataFrame(
            {
                "class_name": self.class_names,
                "score": self.scores.numpy(),
                **columns,
                "label": self.labels.numpy(),
            }
        )

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
