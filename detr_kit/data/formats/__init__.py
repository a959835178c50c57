"""Data sets of other people's formats, read into COCO's form."""

from .find import find_data
from .holdout import hold_out
from .split import SPLITS, Content, DataSource, Problem, Split

__all__ = ["SPLITS", "Content", "DataSource", "Problem", "Split", "find_data", "hold_out"]
