"""Where a network looked for a detection, and pictures of it."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .explanation import Explanation, explain
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "explanation": ["Explanation", "explain"],
        },
    )

__all__ = ["Explanation", "explain"]
