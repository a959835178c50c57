"""The COCO metric: twelve figures, and AP for each class."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from rich.markup import escape
from rich.table import Table

from ..categories import Categories, class_name
from ..console_text import text_of
from ..data.annotation_table import AnnotationTable, annotation_table
from ..data.coco_annotations import read_coco_json
from ..errors import InputError
from ..structures import Prediction
from .detection_table import DetectionTable
from .metric_backend import Boxes, Curves, Evaluation, curves, metric_backend_for

MOST_DETECTIONS = 100  # of an image and class, that COCO looks at
_EDGE = 1.0  # pixels that a box may reach over the edge by rounding


@dataclass(frozen=True)
class CocoResult:
    """What the metric found.

    Attributes:
        figures: the twelve COCO figures in [0, 1]; -1 where there is nothing to measure, say no large object.
            Where more than 100 detections were looked at, AR100 has their number in its name: AR240.
        per_class: class name -> AP, AP50 and the number of ground-truth boxes.
        max_detections: of an image and class, the best of which were looked at.
        backend: who computed them, "hotcoco" or "pycocotools".
    """

    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    max_detections: int = MOST_DETECTIONS
    backend: str = ""

    @property
    def measured(self) -> dict[str, float]:
        """The figures for which there was something to measure, and AP in any case."""
        return {name: value for name, value in self.figures.items() if value >= 0 or name == "AP"}

    def table(self) -> str:
        """The figures and the per-class AP as text for a terminal."""
        figures = Table(title=f"COCO bbox, by {self.backend}" if self.backend else "COCO bbox")
        for name in self.figures:
            figures.add_column(name, justify="right")
        figures.add_row(*map(figure_text, self.figures.values()))
        classes = Table(title="per class")
        for name in ("class", "AP", "AP50", "boxes"):
            classes.add_column(name, justify="left" if name == "class" else "right")
        for name, row in self.per_class.items():
            ap, ap50 = figure_text(row["AP"]), figure_text(row["AP50"])
            classes.add_row(escape(name), ap, ap50, str(int(row["boxes"])))
        return text_of(figures, classes, width=120)


def figure_text(value: float) -> str:
    """A figure as COCO prints it, 0.218; a dash where there was nothing to measure."""
    return "–" if value < 0 else f"{value:.3f}"


def detections_for(most_objects: int) -> int:
    """Enough for the objects of an image: 100, or half as many again as there are."""
    return MOST_DETECTIONS if most_objects <= MOST_DETECTIONS else -(-3 * most_objects // 20) * 10


def load_ground_truth(path: str | Path) -> COCO:
    """A COCO annotation file for the metric: what training learns from it, and its crowd regions.

    What cannot be used is left out as `CocoDataset` leaves it out. Annotations are numbered anew, from 1:
    pycocotools marks a match by its id, so that 0 counts as no match and a repeated id as the same object.
    An `area` that is missing, 0 or not finite is the box's; a box that reaches over its picture is cut off.

    Raises:
        InputError: as `read_coco_annotations`, but any number of annotations may be left out.
    """
    table = annotation_table(str(path), read_coco_json(path))
    table.refuse(max_left_out=1)
    coco = COCO()
    coco.dataset = {"info": {}, **table.to_coco()}
    _cut_at_edges(coco.dataset["annotations"], table)
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _cut_at_edges(annotations: list[dict[str, Any]], table: AnnotationTable) -> None:
    """Boxes that reach over their picture by more than rounding, as training sees them."""
    rows = np.flatnonzero(table.faults == 0)
    corners = table.corners[rows].astype(np.float64)
    inside = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)
    for index in np.flatnonzero((np.abs(table.xywh[rows] - inside) > _EDGE).any(axis=1)):
        box, annotation = inside[index].tolist(), annotations[index]
        annotation.update(bbox=box, area=min(annotation["area"], box[2] * box[3]))


def to_coco_detections(prediction: Prediction, image_id: int, categories: Categories) -> list[dict[str, Any]]:
    """Detections in COCO's result format: the data set's category ids, boxes as x, y, width, height.

    What `DetectionTable.of_image` leaves out is left out.
    """
    return DetectionTable.of_image(prediction, image_id, categories).to_coco()


def evaluate_detections(
    ground_truth: COCO | str | Path,
    detections: DetectionTable | Sequence[Mapping[str, Any]],
    image_ids: Sequence[int] | None = None,
    metric_backend: str | None = None,
) -> CocoResult:
    """COCO's twelve bbox figures and AP for each class.

    COCO looks at the best 100 detections of an image and class. Where an image has more objects than that,
    the best `detections_for` them are: otherwise even perfect detections would be counted as half wrong.

    Args:
        ground_truth: an annotation file, or a COCO object.
        detections: a table, or COCO's result format.
        image_ids: images to evaluate; all of the ground truth by default, those without a detection included.
        metric_backend: who computes, as `metric_backend_for` takes it; the figures are the same.

    Raises:
        InputError: a detection of an image that is not in the ground truth, one that is not finite, or as
            `metric_backend_for`.
    """
    backend = metric_backend_for(metric_backend)
    coco = ground_truth if isinstance(ground_truth, COCO) else load_ground_truth(ground_truth)
    table = detections if isinstance(detections, DetectionTable) else DetectionTable.of_coco(detections)
    known = set(coco.getImgIds())
    stray = set(np.unique(table.image_ids).tolist()) - known
    if stray:
        raise InputError(
            f"detections: image_id={min(stray)} is not in the ground truth; is it another split?"
        )
    if not (np.isfinite(table.scores).all() and np.isfinite(table.boxes).all()):
        raise InputError("detections: a box or score is not finite; the network has diverged")
    evaluation = numbered(coco, table, known if image_ids is None else known & set(image_ids))
    found = curves(evaluation, backend)
    most = evaluation.max_detections
    return CocoResult(_figures(found, most), _per_class(coco, evaluation, found), most[-1], backend)


def numbered(coco: COCO, table: DetectionTable, image_ids: set[int]) -> Evaluation:
    """What belongs to these images, and to the categories of the ground truth, for a metric backend."""
    images, categories = (np.array(sorted(ids), dtype=np.int64) for ids in (image_ids, coco.getCatIds()))
    annotations = coco.dataset["annotations"]
    owners, classes = (
        np.array([a[key] for a in annotations], dtype=np.int64) for key in ("image_id", "category_id")
    )
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
    areas = np.array([a["area"] for a in annotations], dtype=np.float64)
    crowd = np.array([a["iscrowd"] for a in annotations], dtype=bool)
    is_object, objects = _boxes(images, categories, owners, classes, boxes)
    is_detection, detections = _boxes(images, categories, table.image_ids, table.category_ids, table.boxes)
    areas, crowd = areas[is_object], crowd[is_object]
    objects_of_image = np.bincount(objects.images[~crowd], minlength=1)
    return Evaluation(
        num_images=len(images),
        num_categories=len(categories),
        objects=objects,
        areas=areas,
        crowd=crowd,
        detections=detections,
        scores=table.scores[is_detection],
        max_detections=[1, 10, detections_for(int(objects_of_image.max()))],
    )


def _boxes(
    images: np.ndarray,
    categories: np.ndarray,
    image_ids: np.ndarray,
    category_ids: np.ndarray,
    boxes: np.ndarray,
) -> tuple[np.ndarray, Boxes]:
    """Which rows belong to these images and categories, and these rows with their numbers."""
    image, category = _numbers(images, image_ids), _numbers(categories, category_ids)
    kept = (image >= 0) & (category >= 0)
    return kept, Boxes(image[kept], category[kept], boxes[kept])


def _numbers(known: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(N,) where each id stands among the ascending known ones; −1 for one that does not."""
    numbers = np.searchsorted(known, ids)
    there = numbers < len(known)
    there[there] = known[numbers[there]] == ids[there]
    return np.where(there, numbers, -1)


def _figures(found: Curves, max_detections: Sequence[int]) -> dict[str, float]:
    """What `COCOeval.summarize` prints; that one knows 100 detections only."""
    precision, recall = found
    halves = {"AP50": 0, "AP75": 5}  # of the IoUs 0.50, 0.55, …, 0.95
    sizes = {"s": 1, "m": 2, "l": 3}  # of the areas all, small, medium, large
    figures = {"AP": _mean(precision[..., 0, -1])}
    figures |= {name: _mean(precision[iou, :, :, 0, -1]) for name, iou in halves.items()}
    figures |= {f"AP{name}": _mean(precision[..., area, -1]) for name, area in sizes.items()}
    figures |= {f"AR{count}": _mean(recall[..., 0, index]) for index, count in enumerate(max_detections)}
    return figures | {f"AR{name}": _mean(recall[..., area, -1]) for name, area in sizes.items()}


def _per_class(coco: COCO, evaluation: Evaluation, found: Curves) -> dict[str, dict[str, float]]:
    counted = evaluation.objects.categories[~evaluation.crowd]
    boxes = np.bincount(counted, minlength=evaluation.num_categories)
    rows = {}
    for index, category in enumerate(sorted(coco.getCatIds())):
        of_class = found.precision[:, :, index, 0, -1]
        name = class_name(coco.loadCats(category)[0]["name"])
        rows[name if name not in rows else f"{name} (id {category})"] = {
            "AP": _mean(of_class),
            "AP50": _mean(of_class[0]),
            "boxes": float(boxes[index]),
        }
    return rows


def _mean(figures: np.ndarray) -> float:
    """Over what could be measured; -1 where nothing could."""
    measured = figures[figures > -1]
    return float(measured.mean()) if measured.size else -1.0
