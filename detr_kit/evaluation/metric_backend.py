"""Who computes COCO's curves: hotcoco (Rust) where it is installed, else pycocotools, the reference.

Both get the same numbers in the same order and give the same curves, to the bit.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..errors import InputError


class Boxes(NamedTuple):
    """Boxes of an evaluation: `images` and `categories` (N,) int64 numbers, `xywh` (N, 4) float64 pixels."""

    images: np.ndarray
    categories: np.ndarray
    xywh: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, numbered anew.

    Images and categories count from 0 in the order of their ids, which decides between equal scores. So an id
    may be negative, or beyond what a float holds, and none of an annotation is taken for "no match".

    Attributes:
        num_images, num_categories: empty ones included.
        objects: the ground truth; areas: (G,) float64 of each; crowd: (G,) bool.
        detections: of each image in the order that equal scores keep; scores: (N,) float64, finite.
        max_detections: of an image and class, three limits.
    """

    num_images: int
    num_categories: int
    objects: Boxes
    areas: np.ndarray
    crowd: np.ndarray
    detections: Boxes
    scores: np.ndarray
    max_detections: list[int]


class Curves(NamedTuple):
    """`COCOeval.eval`; −1 where there is nothing to measure.

    Attributes:
        precision: (IoU, recall, class, area, max detections) float64.
        recall: (IoU, class, area, max detections) float64.
    """

    precision: np.ndarray
    recall: np.ndarray


def _by_hotcoco(evaluation: Evaluation) -> Curves:
    return _curves(hotcoco_metric(evaluation), evaluation)


def hotcoco_metric(evaluation: Evaluation) -> Any:
    """hotcoco's COCOeval of these detections, with the evaluation's limits; nothing is computed yet."""
    import hotcoco

    objects, detections = evaluation.objects, evaluation.detections
    truth = hotcoco.COCO.from_arrays(
        *_numbered(evaluation), *objects, area=evaluation.areas, iscrowd=evaluation.crowd.astype(np.uint8)
    )
    columns = (detections.images, detections.xywh, evaluation.scores, detections.categories)
    metric = hotcoco.COCOeval(truth, truth.loadRes(np.column_stack(columns)), "bbox")
    metric.params.maxDets = evaluation.max_detections
    return metric


def _by_pycocotools(evaluation: Evaluation) -> Curves:
    images, categories = _numbered(evaluation)
    objects = (*evaluation.objects, evaluation.areas, evaluation.crowd.astype(np.int64))
    annotations = [
        dict(id=i, image_id=image, category_id=category, bbox=box, area=area, iscrowd=crowd)
        for i, (image, category, box, area, crowd) in enumerate(_rows(*objects), start=1)
    ]
    found = [
        dict(image_id=image, category_id=category, bbox=box, score=score)
        for image, category, box, score in _rows(*evaluation.detections, evaluation.scores)
    ]
    truth, results = COCO(), COCO()
    truth.dataset = {"info": {}, "images": images, "categories": categories, "annotations": annotations}
    results.dataset = {"annotations": []}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        if found:  # loadRes asks the first one what it is
            results = truth.loadRes(found)
        return _curves(COCOeval(truth, results, "bbox"), evaluation)


_BACKENDS: dict[str, Callable[[Evaluation], Curves]] = {
    "hotcoco": _by_hotcoco,
    "pycocotools": _by_pycocotools,
}
METRIC_BACKENDS = ("auto", *_BACKENDS)


def metric_backend_for(name: str | None) -> str:
    """The backend of this name; of "auto" or None hotcoco where it is installed.

    Raises:
        InputError: an unknown name, or hotcoco is not installed.
    """
    if name not in (None, *METRIC_BACKENDS):
        raise InputError(f"metric_backend={name!r}: it must be one of {', '.join(METRIC_BACKENDS)}")
    if name == "pycocotools":
        return name
    try:
        import hotcoco  # noqa: F401
    except ImportError as error:
        if name == "hotcoco":
            raise InputError(
                f"metric_backend='hotcoco': {error}; `pip install hotcoco`, or choose 'pycocotools', which "
                "gives the same figures later"
            ) from error
        return "pycocotools"
    return "hotcoco"


def curves(evaluation: Evaluation, backend: str) -> Curves:
    """Precision and recall of an evaluation by "hotcoco" or "pycocotools"."""
    return _BACKENDS[backend](evaluation)


def _numbered(evaluation: Evaluation) -> tuple[list[dict], list[dict]]:
    images = [{"id": i} for i in range(evaluation.num_images)]
    return images, [{"id": i, "name": str(i)} for i in range(evaluation.num_categories)]


def _rows(*columns: np.ndarray) -> zip:
    return zip(*(column.tolist() for column in columns), strict=True)


def _curves(metric: COCOeval, evaluation: Evaluation) -> Curves:
    metric.params.maxDets = evaluation.max_detections
    metric.evaluate()
    metric.accumulate()
    return Curves(np.asarray(metric.eval["precision"]), np.asarray(metric.eval["recall"]))
