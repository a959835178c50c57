"""Measuring detections."""

from .coco_evaluation import CocoResult, evaluate_detections, load_ground_truth, to_coco_detections

__all__ = ["CocoResult", "evaluate_detections", "load_ground_truth", "to_coco_detections"]
