"""Where a network looked for a detection, and pictures of it."""

from .explain_detection import explain
from .explanation import Explanation

__all__ = ["Explanation", "explain"]
