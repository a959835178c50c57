"""What a test comes to, read off its code: training, exports, processes, networks of full size."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from .places import ROOT

LONG = {
    "train", "evaluate",
    "subprocess", "FORKS", "runpy",
    "export_detector", "to_onnx", "trace", "compile", "benchmark_detector",
    "Reference", "transformers", "config_names",  # networks of the papers' size
}  # fmt: skip
SHIPPED = {path.stem for path in (ROOT / "configs").glob("*.py")}
LONG_COMMANDS = {"train", "test", "export"}  # of `detr_kit.cli.main`


def takes_long(item: pytest.Function) -> bool:
    """Whether a test, its fixtures or a function of the tests that they use names one of these.

    Or it is of a shipped config, of which it builds the network.
    """
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    reached = list(_reached([item.function, *(f.func for fs in fixtures for f in fs)]))
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(isinstance(value, str) and value in SHIPPED for value in given):
        return any(_is_long(function) or "build_network" in _names(function.__code__) for function in reached)
    return any(map(_is_long, reached))


def _reached(functions: list[Callable]) -> Iterator[FunctionType]:
    seen, todo = set(), list(functions)
    while todo:
        function: Any = inspect.unwrap(todo.pop())
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        yield function
        places = [function.__globals__, *_members(_class_of(function))]
        for name in _names(function.__code__):
            for found in [place[name] for place in places if name in place]:
                if isinstance(found, ModuleType) and found.__name__.startswith("tests."):
                    places.append(vars(found))
                elif inspect.isclass(found):
                    todo += [member for members in _members(found) for member in members.values()]
                elif (getattr(found, "__module__", "") or "").startswith("tests."):
                    todo.append(found)


def _members(kind: type) -> list[Mapping[str, Any]]:
    """Of a class of the tests and its bases there."""
    return [vars(base) for base in kind.__mro__ if base.__module__.startswith("tests.")]


def _class_of(function: FunctionType) -> type:
    found = function.__globals__.get(function.__qualname__.split(".")[0])
    return found if inspect.isclass(found) else object


def _is_long(function: FunctionType) -> bool:
    names, texts = set(_names(function.__code__)), set(_texts(function.__code__.co_consts))
    return bool(names & LONG) or ("main" in names and bool(texts & LONG_COMMANDS))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _texts(constants: tuple) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from _texts(constant)
        elif isinstance(constant, CodeType):
            yield from _texts(constant.co_consts)
