"""The names under which configs find our classes; children of mmengine's registries of the same kind."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.registry import (
    DATA_SAMPLERS as _DATA_SAMPLERS,
)
from mmengine.registry import (
    DATASETS as _DATASETS,
)
from mmengine.registry import (
    FUNCTIONS as _FUNCTIONS,
)
from mmengine.registry import (
    HOOKS as _HOOKS,
)
from mmengine.registry import (
    METRICS as _METRICS,
)
from mmengine.registry import (
    MODELS as _MODELS,
)
from mmengine.registry import (
    OPTIM_WRAPPERS as _OPTIM_WRAPPERS,
)
from mmengine.registry import (
    TRANSFORMS as _TRANSFORMS,
)
from mmengine.registry import (
    Registry,
)

from .errors import InputError


def _registry(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope="detr_kit", locations=[f"detr_kit.{loc}" for loc in locations])


MODELS = _registry("model", _MODELS, "models", "losses", "engine")
DATASETS = _registry("dataset", _DATASETS, "data")
DATA_SAMPLERS = _registry("data sampler", _DATA_SAMPLERS, "data")
TRANSFORMS = _registry("transform", _TRANSFORMS, "data")
FUNCTIONS = _registry("function", _FUNCTIONS, "data")
METRICS = _registry("metric", _METRICS, "engine")
HOOKS = _registry("hook", _HOOKS, "engine")
OPTIM_WRAPPERS = _registry("optim_wrapper", _OPTIM_WRAPPERS, "engine")


def build(config: Any, registry: Registry = MODELS) -> Any:
    """Build nested dicts with a `type`, innermost first; anything else passes through.

    Constructors therefore take finished parts, and model code never sees a config.

    Raises:
        InputError: an unknown type or argument, with the nearest known name.
    """
    if isinstance(config, Mapping):
        parts = {key: build(part, registry) for key, part in config.items()}
        if "type" not in parts:
            return parts
        name = parts.pop("type")
        factory = registry.get(name) if isinstance(name, str) else name
        if factory is None:
            raise InputError(
                f"config: type={name!r} is no {registry.name} that detr-kit knows{_hint(name, registry.module_dict)}"
            )
        check_arguments(factory, parts)
        return factory(**parts)
    if isinstance(config, list | tuple):
        return type(config)(build(part, registry) for part in config)
    return config


def check_arguments(factory: Any, arguments: Mapping[str, Any], given_elsewhere: Iterable[str] = ()) -> None:
    """Refuse arguments that `factory` does not take, and required ones that are missing.

    Raises:
        InputError: names the type, the argument and the nearest known name.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # built-ins without a signature
        return
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key not in parameters:
                raise InputError(
                    f"config: {factory.__name__} takes no argument {key!r}{_hint(key, parameters)}"
                )
    named = [p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in named if p.default is p.empty and p.name not in {*arguments, *given_elsewhere}]
    if missing:
        raise InputError(f"config: {factory.__name__} needs {', '.join(missing)}")


def _hint(name: object, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
