"""Beyond one machine: very many images into tables of detections."""

from typing import TYPE_CHECKING, Any

from ..lazy import lazy_names
from .requirements import require_packages

if TYPE_CHECKING:
    from .ray_engine import Actors
    from .report import DatasetReport
    from .run import predict_dataset
else:
    _named, __dir__ = lazy_names(
        __name__,
        {
            "ray_engine": ["Actors"],
            "report": ["DatasetReport"],
            "run": ["predict_dataset"],
        },
    )

    def __getattr__(name: str) -> Any:
        require_packages("local")
        return _named(name)


__all__ = ["Actors", "DatasetReport", "predict_dataset"]
