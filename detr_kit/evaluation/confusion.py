"""Which class is taken for which, and which images go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from ..categories import class_name
from .coco_evaluation import load_ground_truth


@dataclass(frozen=True)
class Confusion:
    """Ground truth against detections.

    Attributes:
        names: the C classes.
        matrix: (C + 1, C + 1) int64; row: what it is, column: what it was taken for; the last is nothing.
        errors: image id -> objects missed or mistaken, and boxes where nothing is.
        ious: image id -> of each pair of an object and a detection.
        score_threshold, iou_threshold: from which on detections were counted, and pairs made.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    errors: dict[int, int]
    ious: dict[int, list[float]]
    score_threshold: float
    iou_threshold: float


def confusion_of(
    annotations: str | Path,
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int],
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> Confusion:
    """Pair objects and detections of any class by overlap, the best overlap first, and count the classes.

    Args:
        annotations: the COCO file; crowd regions are left out.
        detections: COCO results; those below the threshold are left out.
        image_ids: the images that were evaluated.
        iou_threshold: the overlap from which a detection is about an object.
    """
    truth = load_ground_truth(annotations)
    categories = sorted(truth.loadCats(truth.getCatIds()), key=lambda c: c["id"])
    index = {category["id"]: i for i, category in enumerate(categories)}
    nothing = len(categories)
    matrix = np.zeros((nothing + 1, nothing + 1), dtype=np.int64)
    found: dict[int, list[Mapping[str, Any]]] = {image_id: [] for image_id in image_ids}
    for detection in detections:
        if detection["score"] >= score_threshold and detection["image_id"] in found:
            found[detection["image_id"]].append(detection)
    errors, ious = {}, {}
    for image_id in image_ids:
        objects = truth.loadAnns(truth.getAnnIds(imgIds=[image_id], iscrowd=False))
        rows = [index[o["category_id"]] for o in objects]
        columns = [index[d["category_id"]] for d in found[image_id]]
        pairs = _pairs(_boxes(objects), _boxes(found[image_id]), iou_threshold)
        ious[image_id] = [iou for _, _, iou in pairs]
        counted = np.zeros_like(matrix)
        for row, column, _ in pairs:
            counted[rows[row], columns[column]] += 1
        for row in set(range(len(rows))) - {row for row, _, _ in pairs}:
            counted[rows[row], nothing] += 1
        for column in set(range(len(columns))) - {column for _, column, _ in pairs}:
            counted[nothing, columns[column]] += 1
        matrix += counted
        errors[image_id] = int(counted.sum() - np.trace(counted))
    names = tuple(class_name(c["name"]) for c in categories)
    return Confusion(names, matrix, errors, ious, score_threshold, iou_threshold)


def _boxes(items: Sequence[Mapping[str, Any]]) -> torch.Tensor:
    """COCO's xywh -> (N, 4) xyxy."""
    xywh = torch.tensor([item["bbox"] for item in items], dtype=torch.float64).reshape(-1, 4)
    return torch.cat((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), dim=1)


def _pairs(objects: torch.Tensor, detections: torch.Tensor, threshold: float) -> list[tuple[int, int, float]]:
    """One detection an object, the best overlaps first: (object, detection, IoU)."""
    overlap = box_iou(objects, detections).numpy()
    pairs: list[tuple[int, int, float]] = []
    while overlap.size and overlap.max() >= threshold:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        pairs.append((int(row), int(column), float(overlap[row, column])))
        overlap[row], overlap[:, column] = -1, -1
    return pairs
