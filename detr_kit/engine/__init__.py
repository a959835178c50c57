"""The glue to mmengine: everything about running, nothing about networks."""

from ..features import Features
from .coco_metric import CocoMetric
from .evaluation_loops import TestLoop, ValLoop
from .hooks.checkpoint import CheckpointHook
from .hooks.curves import CurveHook, draw_curves
from .hooks.early_stopping import EarlyStoppingHook
from .hooks.ema import EMAHook
from .hooks.freeze import FreezeHook
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
    "FreezeHook",
    "GroupedOptimWrapperConstructor",
    "LoggerHook",
    "OptimWrapper",
    "TestLoop",
    "TrainableDetector",
    "ValLoop",
    "draw_curves",
    "evaluate",
    "prepare_config",
    "train",
]
