"""Detection over HTTP: an endpoint for programs and a page for people, on one small Starlette app."""

from __future__ import annotations

from ..errors import InputError

try:
    import prometheus_client  # noqa: F401
    import python_multipart  # noqa: F401
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise InputError(
        f'serve and demo need {error.name}, which is not installed: pip install "detr-kit[serve]"'
    ) from error

from .app import create_app
from .limits import Limits
from .open_detector import open_detector
from .server import run_server

__all__ = ["Limits", "create_app", "open_detector", "run_server"]
