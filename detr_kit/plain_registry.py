"""What stands in for mmengine's Registry where mmengine is not installed."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any


class PlainRegistry:
    """Names of one kind of part, filled by the decorator `register_module()`.

    Args:
        name: the kind, for messages.
        locations: modules that register their parts as they are imported, before the first answer.
    """

    parent = None

    def __init__(self, name: str, locations: list[str]) -> None:
        self.name = name
        self.locations = locations
        self.module_dict: dict[str, Any] = {}

    def register_module(
        self, name: str | None = None, force: bool = False, module: Callable | None = None
    ) -> Callable:
        """Enter a class or a function under its own name or another.

        Raises:
            KeyError: the name is taken, and `force` is not set.
        """
        if module is None:
            return lambda decorated: self.register_module(name, force, decorated)
        name = name or module.__name__
        if name in self.module_dict and not force:
            known = self.module_dict[name].__module__
            raise KeyError(f"{name} is already registered in {self.name} at {known}")
        self.module_dict[name] = module
        return module

    def import_from_location(self) -> None:
        for location in self.locations:
            import_module(location)

    def get(self, name: str) -> Any:
        """What is registered under a name, or what a path with dots leads to; else None."""
        self.import_from_location()
        own = name.removeprefix("detr_kit.")
        if own in self.module_dict or "." not in name:
            return self.module_dict.get(own)
        return pkgutil.resolve_name(name)
