"""The glue to mmengine: everything about running, nothing about networks."""

from .hooks.checkpoint import CheckpointHook
from .coco_metric import CocoMetric
from .hooks.curves import CurveHook, draw_curves
from .hooks.early_stopping import EarlyStoppingHook
from .hooks.ema import EMAHook
from .evaluate_data import evaluate_data
from .evaluation_loops import TestLoop, ValLoop
from .features import Features
from .fine_tune import fine_tune
from .hooks.logger import LoggerHook
from .optim import GroupedOptimWrapperConstructor
from .optim_wrapper import AmpOptimWrapper, OptimWrapper
from .prepare import prepare_config
from .run import evaluate, train
from .runner import DetectionRunner
from .train_loop import EpochBasedTrainLoop
from .trainable_detector import BatchPreprocessor, TrainableDetector

__all__ = [
    "AmpOptimWrapper",
    "BatchPreprocessor",
    "CheckpointHook",
    "CocoMetric",
    "CurveHook",
    "DetectionRunner",
    "EMAHook",
    "EarlyStoppingHook",
    "EpochBasedTrainLoop",
    "Features",
    "GroupedOptimWrapperConstructor",
    "LoggerHook",
    "OptimWrapper",
    "TestLoop",
    "TrainableDetector",
    "ValLoop",
    "draw_curves",
    "evaluate",
    "evaluate_data",
    "fine_tune",
    "prepare_config",
    "train",
]
