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

__all__ = [
    "MOST_DETECTIONS",
    "CocoResult",
    "detections_for",
    "evaluate_detections",
    "figure_text",
    "load_ground_truth",
    "to_coco_detections",
]
