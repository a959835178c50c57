"""The detections of many images as columns: half a million of them are arrays sooner than dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..categories import Categories
from ..data.file_numbers import whole_numbers
from ..errors import InputError
from ..structures import Prediction


@dataclass(frozen=True)
class DetectionTable:
    """What COCO's result format says, a row a detection.

    Attributes:
        image_ids: (N,) int64; category_ids: (N,) int64, the data set's own.
        boxes: (N, 4) float64 x, y, width, height in pixels.
        scores: (N,) float64.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def of_image(cls, prediction: Prediction, image_id: int, categories: Categories) -> DetectionTable:
        """The detections of one image, in their order.

        Labels that stand for no category of the data set are left out, and so is what is not finite: to
        pycocotools a box of NaN overlaps with everything.
        """
        sizes = prediction.boxes[:, 2:] - prediction.boxes[:, :2]  # in the prediction's own precision
        boxes = torch.cat((prediction.boxes[:, :2], sizes), dim=1).double().numpy(force=True)
        scores = prediction.scores.double().numpy(force=True)
        labels = prediction.labels.numpy(force=True)
        kept = np.isin(labels, list(categories.label_of_id.values()))
        kept &= np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
        category_ids = np.array(categories.ids, dtype=np.int64)[labels[kept]]
        return cls(np.full(len(category_ids), image_id, np.int64), category_ids, boxes[kept], scores[kept])

    @classmethod
    def of_coco(cls, detections: Sequence[Mapping[str, Any]]) -> DetectionTable:
        """COCO results as columns.

        Raises:
            InputError: an id that is no whole number.
        """
        boxes = np.array([detection["bbox"] for detection in detections], dtype=np.float64).reshape(-1, 4)
        scores = np.array([detection["score"] for detection in detections], dtype=np.float64)
        return cls(_ids(detections, "image_id"), _ids(detections, "category_id"), boxes, scores)

    @classmethod
    def concatenated(cls, tables: Sequence[DetectionTable]) -> DetectionTable:
        """All rows, table after table."""
        if not tables:
            return cls.of_coco([])
        fields = ("image_ids", "category_ids", "boxes", "scores")
        return cls(*(np.concatenate([getattr(table, field) for table in tables]) for field in fields))

    def to_coco(self) -> list[dict[str, Any]]:
        """COCO results, as `json` writes them."""
        columns = (self.image_ids, self.category_ids, self.boxes, self.scores)
        return [
            {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
            for image_id, category_id, box, score in zip(*(c.tolist() for c in columns), strict=True)
        ]


def _ids(detections: Sequence[Mapping[str, Any]], field: str) -> np.ndarray:
    given = [detection[field] for detection in detections]
    ids = whole_numbers([value.item() if isinstance(value, np.generic) else value for value in given])
    if None in ids:
        raise InputError(f"detections: {field}={given[ids.index(None)]!r} is not a whole number")
    return np.array(ids, dtype=np.int64)
