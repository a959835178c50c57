"""Where a network looked for a detection, and pictures of it."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .explain_detection import explain
    from .explanation import Explanation
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "explain_detection": ["explain"],
            "explanation": ["Explanation"],
        },
    )

__all__ = ["Explanation", "explain"]
