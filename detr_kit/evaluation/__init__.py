"""Measuring detections."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .coco_evaluation import (
        MOST_DETECTIONS,
        CocoResult,
        detections_for,
        evaluate_detections,
        figure_text,
        load_ground_truth,
        to_coco_detections,
    )
    from .detection_table import DetectionTable
    from .metric_backend import METRIC_BACKENDS, metric_backend_for
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "coco_evaluation": [
                "MOST_DETECTIONS",
                "CocoResult",
                "detections_for",
                "evaluate_detections",
                "figure_text",
                "load_ground_truth",
                "to_coco_detections",
            ],
            "detection_table": ["DetectionTable"],
            "metric_backend": ["METRIC_BACKENDS", "metric_backend_for"],
        },
    )

__all__ = [
    "METRIC_BACKENDS",
    "MOST_DETECTIONS",
    "CocoResult",
    "DetectionTable",
    "detections_for",
    "evaluate_detections",
    "figure_text",
    "load_ground_truth",
    "metric_backend_for",
    "to_coco_detections",
]
