"""Measuring detections."""

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
