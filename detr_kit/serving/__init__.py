"""Detection over HTTP: an endpoint for programs and a page for people, on one small Starlette app."""

from typing import TYPE_CHECKING, Any

from ..lazy import lazy_names
from .requirements import require_packages

if TYPE_CHECKING:
    from .app import create_app
    from .detector import open_detector
    from .limits import Limits
    from .server import run_server
else:
    _named, __dir__ = lazy_names(
        __name__,
        {
            "app": ["create_app"],
            "detector": ["open_detector"],
            "limits": ["Limits"],
            "server": ["run_server"],
        },
    )

    def __getattr__(name: str) -> Any:
        require_packages()
        return _named(name)


__all__ = ["Limits", "create_app", "open_detector", "run_server"]
