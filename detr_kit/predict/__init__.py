"""Many sources into a folder of pictures: what `detr-kit predict` does."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .output_names import json_path, plan_outputs
    from .report import PredictReport
    from .run import PredictRun
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "output_names": ["json_path", "plan_outputs"],
            "report": ["PredictReport"],
            "run": ["PredictRun"],
        },
    )

__all__ = ["PredictReport", "PredictRun", "json_path", "plan_outputs"]
