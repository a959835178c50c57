"""Where a network looked for a detection, and pictures of it."""

from .explanation import Explanation, explain

__all__ = ["Explanation", "explain"]
