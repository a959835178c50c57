"""What prediction at scale needs beyond detr-kit's own dependencies."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import InputError

ENGINES = ("local", "ray")


def require_packages(engine: str) -> None:
    """Whether the packages of an engine are there; nothing is imported.

    Raises:
        InputError: no such engine, or a package is missing: the message says what to install.
    """
    if engine not in ENGINES:
        raise InputError(f"engine={engine!r}; it must be one of {', '.join(ENGINES)}")
    extra, packages = ("ray", ("ray", "pyarrow")) if engine == "ray" else ("parquet", ("pyarrow",))
    for package in packages:
        if find_spec(package) is None:
            raise InputError(
                f'engine {engine} needs {package}, which is not installed: pip install "detr-kit[{extra}]"'
            )
