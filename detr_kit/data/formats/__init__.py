"""Data sets of other people's formats, read into COCO's form."""

from typing import TYPE_CHECKING

from ...lazy import lazy_names

if TYPE_CHECKING:
    from .find import find_data
    from .holdout import hold_out
    from .look_alikes import LookAlikes, find_look_alikes, look_alikes_of
    from .split import SPLITS, Content, DataSource, Problem, Split
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "find": ["find_data"],
            "holdout": ["hold_out"],
            "look_alikes": ["LookAlikes", "find_look_alikes", "look_alikes_of"],
            "split": ["SPLITS", "Content", "DataSource", "Problem", "Split"],
        },
    )

__all__ = [
    "SPLITS",
    "Content",
    "DataSource",
    "LookAlikes",
    "Problem",
    "Split",
    "find_data",
    "find_look_alikes",
    "hold_out",
    "look_alikes_of",
]
