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
        },
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
