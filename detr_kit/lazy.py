"""Packages whose names are imported where they are used first (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package that imports nothing by itself.

    Type checkers do not run it, so a package lists its names for them too:

        if TYPE_CHECKING:
            from .explanation import Explanation, explain
        else:
            __getattr__, __dir__ = lazy_names(__name__, {"explanation": ["Explanation", "explain"]})

    Args:
        package: its `__name__`.
        names: module of the package -> the names in it that the package offers. No name may be that of a
            module: Python puts an imported module into its package under its own name.
    """
    home_of = {name: module for module, offered in names.items() for name in offered}

    def __getattr__(name: str) -> Any:
        if name in home_of:
            value = getattr(import_module(f"{package}.{home_of[name]}"), name)
            setattr(sys.modules[package], name, value)  # the next time Python finds it alone
            return value
        if name in names:  # `import detr_kit.checkpoints` has always brought its modules along
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of, *names})

    return __getattr__, __dir__
