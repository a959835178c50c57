"""From a data set to a run: the config is written for it, and people can read and edit it."""

from .evaluate_data import evaluate_data
from .run import fine_tune, write_fine_tune_config
from .trained import Trained, train

__all__ = ["Trained", "evaluate_data", "fine_tune", "train", "write_fine_tune_config"]
