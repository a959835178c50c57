"""The glue to mmengine: everything about running, nothing about networks."""

from .coco_metric import CocoMetric
from .curves import CurveHook, draw_curves
from .fine_tune import fine_tune
from .optim import AmpOptimWrapper, GroupedOptimWrapperConstructor
from .prepare import prepare_config
from .run import evaluate, train
from .runner import DetectionRunner
from .trainable_detector import BatchPreprocessor, TrainableDetector

__all__ = [
    "AmpOptimWrapper",
    "BatchPreprocessor",
    "CocoMetric",
    "CurveHook",
    "DetectionRunner",
    "GroupedOptimWrapperConstructor",
    "TrainableDetector",
    "draw_curves",
    "evaluate",
    "fine_tune",
    "prepare_config",
    "train",
]
