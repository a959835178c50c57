"""What a server needs beyond detr-kit's own dependencies."""

from __future__ import annotations

from ..errors import InputError


def require_packages() -> None:
    """Raises InputError where a package of the extra `serve` is missing."""
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'serve and demo need {error.name}, which is not installed: pip install "detr-kit[serve]"'
        ) from error
