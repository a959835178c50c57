"""Many sources into a folder of pictures: what `detr-kit predict` does."""

from .output_names import json_path, plan_outputs
from .report import PredictReport
from .run import PredictRun

__all__ = ["PredictReport", "PredictRun", "json_path", "plan_outputs"]
