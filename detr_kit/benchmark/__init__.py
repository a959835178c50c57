"""How fast a detector is on this machine, in every way in which it can be run, and how far each drifts."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .report import benchmark_text
    from .result import Benchmark, Row
    from .run import benchmark_detector
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "report": ["benchmark_text"],
            "result": ["Benchmark", "Row"],
            "run": ["benchmark_detector"],
        },
    )

__all__ = ["Benchmark", "Row", "benchmark_detector", "benchmark_text"]
