"""The COCO metric, computed by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..categories import Categories, class_name
from ..data.annotation_table import AnnotationTable, annotation_table
from ..data.coco_annotations import read_coco_json
from ..errors import InputError
from ..structures import Prediction

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
    """

    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    max_detections: int = MOST_DETECTIONS

    @property
    def measured(self) -> dict[str, float]:
        """The figures for which there was something to measure, and AP in any case."""
        return {name: value for name, value in self.figures.items() if value >= 0 or name == "AP"}

    def table(self) -> str:
        """The figures and the per-class AP as text for a terminal."""
        figures = Table(title="COCO bbox")
        for name in self.figures:
            figures.add_column(name, justify="right")
        figures.add_row(*map(figure_text, self.figures.values()))
        classes = Table(title="per class")
        for name in ("class", "AP", "AP50", "boxes"):
            classes.add_column(name, justify="left" if name == "class" else "right")
        for name, row in self.per_class.items():
            ap, ap50 = figure_text(row["AP"]), figure_text(row["AP50"])
            classes.add_row(escape(name), ap, ap50, str(int(row["boxes"])))
        console = Console(file=io.StringIO(), width=120, emoji=False)
        console.print(figures, classes)
        return console.file.getvalue()  # type: ignore[attr-defined]


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


def to_coco_detections(
    prediction: Prediction, image_id: int, categories: Categories
) -> list[dict[str, float | int | list[float]]]:
    """Detections in COCO's result format: the data set's category ids, boxes as x, y, width, height.

    Labels that stand for no category of the data set are left out, and so is what is not finite: to
    pycocotools a box of NaN overlaps with everything.
    """
    used = set(categories.label_of_id.values())
    boxes = prediction.boxes.clone()
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(prediction.scores.tolist(), prediction.labels.tolist(), boxes.tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": categories.ids[label], "bbox": box, "score": score}
        for score, label, box in rows
        if label in used and math.isfinite(score + sum(box))
    ]


def evaluate_detections(
    ground_truth: COCO | str | Path,
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int] | None = None,
) -> CocoResult:
    """COCO's twelve bbox figures and AP for each class.

    COCO looks at the best 100 detections of an image and class. Where an image has more objects than that,
    the best `detections_for` them are: otherwise even perfect detections would be counted as half wrong.

    Args:
        ground_truth: an annotation file, or a COCO object.
        detections: in COCO's result format.
        image_ids: images to evaluate; all of the ground truth by default, those without a detection included.

    Raises:
        InputError: a detection of an image that is not in the ground truth, or one that is not finite.
    """
    coco = ground_truth if isinstance(ground_truth, COCO) else load_ground_truth(ground_truth)
    known = set(coco.getImgIds())
    stray = next((d["image_id"] for d in detections if d["image_id"] not in known), None)
    if stray is not None:
        raise InputError(f"detections: image_id={stray} is not in the ground truth; is it another split?")
    if not all(math.isfinite(d["score"] + sum(d["bbox"])) for d in detections):
        raise InputError("detections: a box or score is not finite; the network has diverged")
    with contextlib.redirect_stdout(io.StringIO()):
        results = coco.loadRes(copy.deepcopy(list(detections))) if detections else _no_results(coco)
        evaluation = COCOeval(coco, results, "bbox")
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.params.maxDets = [1, 10, detections_for(_most_objects(coco, evaluation.params.imgIds))]
        evaluation.evaluate()
        evaluation.accumulate()
    return CocoResult(_figures(evaluation), _per_class(coco, evaluation), evaluation.params.maxDets[-1])


def _most_objects(coco: COCO, image_ids: Sequence[int]) -> int:
    return max((len(coco.getAnnIds([image_id], iscrowd=False)) for image_id in image_ids), default=0)


def _figures(evaluation: COCOeval) -> dict[str, float]:
    """What `COCOeval.summarize` prints; that one knows 100 detections only."""
    precision = evaluation.eval["precision"]  # (IoU, recall, class, area, max detections)
    recall = evaluation.eval["recall"]  # (IoU, class, area, max detections)
    halves = {"AP50": 0, "AP75": 5}  # of the IoUs 0.50, 0.55, …, 0.95
    sizes = {"s": 1, "m": 2, "l": 3}  # of the areas all, small, medium, large
    most = evaluation.params.maxDets
    figures = {"AP": _mean(precision[..., 0, -1])}
    figures |= {name: _mean(precision[iou, :, :, 0, -1]) for name, iou in halves.items()}
    figures |= {f"AP{name}": _mean(precision[..., area, -1]) for name, area in sizes.items()}
    figures |= {f"AR{count}": _mean(recall[..., 0, index]) for index, count in enumerate(most)}
    return figures | {f"AR{name}": _mean(recall[..., area, -1]) for name, area in sizes.items()}


def _no_results(coco: COCO) -> COCO:
    empty = COCO()
    empty.dataset = {**coco.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _per_class(coco: COCO, evaluation: COCOeval) -> dict[str, dict[str, float]]:
    precision = evaluation.eval["precision"]  # (IoU, recall, class, area, max detections)
    rows = {}
    for index, category in enumerate(map(int, evaluation.params.catIds)):
        of_class = precision[:, :, index, 0, -1]
        annotations = coco.getAnnIds(evaluation.params.imgIds, [category], iscrowd=False)
        name = class_name(coco.loadCats(category)[0]["name"])
        rows[name if name not in rows else f"{name} (id {category})"] = {
            "AP": _mean(of_class),
            "AP50": _mean(of_class[0]),
            "boxes": float(len(annotations)),
        }
    return rows


def _mean(figures: np.ndarray) -> float:
    """Over what could be measured; -1 where nothing could."""
    measured = figures[figures > -1]
    return float(measured.mean()) if measured.size else -1.0
