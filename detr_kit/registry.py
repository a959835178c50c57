"""The names under which configs find our classes; children of mmengine's registries of the same kind.

mmengine may be missing: networks, losses and the op work without it, and so does `build`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .plain_registry import PlainRegistry

try:
    from mmengine import registry as mmengine_registry
except ImportError:
    mmengine_registry = None

if TYPE_CHECKING:
    from mmengine.registry import Registry


def _registry(kind: str, *locations: str) -> Registry:
    where = [f"detr_kit.{location}" for location in locations]
    if mmengine_registry is None:
        name = kind.lower().replace("_", " ").removesuffix("s")
        return PlainRegistry(name, [place for place in where if place != "detr_kit.engine"])
    parent = getattr(mmengine_registry, kind)
    return mmengine_registry.Registry(parent.name, parent=parent, scope="detr_kit", locations=where)


MODELS = _registry("MODELS", "models", "losses", "engine")
DATASETS = _registry("DATASETS", "data")
DATA_SAMPLERS = _registry("DATA_SAMPLERS", "data")
TRANSFORMS = _registry("TRANSFORMS", "data")
FUNCTIONS = _registry("FUNCTIONS", "data")
METRICS = _registry("METRICS", "engine")
HOOKS = _registry("HOOKS", "engine")
LOOPS = _registry("LOOPS", "engine")
OPTIM_WRAPPERS = _registry("OPTIM_WRAPPERS", "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _registry("OPTIM_WRAPPER_CONSTRUCTORS", "engine")
RUNNERS = _registry("RUNNERS", "engine")
# Nothing of ours in these; mmengine warns where a scope lacks one.
EVALUATOR = _registry("EVALUATOR")
LOG_PROCESSORS = _registry("LOG_PROCESSORS")
MODEL_WRAPPERS = _registry("MODEL_WRAPPERS")
OPTIMIZERS = _registry("OPTIMIZERS")
PARAM_SCHEDULERS = _registry("PARAM_SCHEDULERS")
VISBACKENDS = _registry("VISBACKENDS")
VISUALIZERS = _registry("VISUALIZERS")


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
        factory = find_type(name, registry)
        if factory is None:
            raise InputError(
                f"config: type={name!r} is no {registry.name} of detr-kit{_hint(name, registry.module_dict)}"
            )
        check_arguments(factory, parts)
        return factory(**parts)
    if isinstance(config, list | tuple):
        return type(config)(build(part, registry) for part in config)
    return config


# Arguments by which a backbone fetches what it was trained with elsewhere, and the value that does not.
_PRETRAINED = {"weights": None, "pretrained": False}


def without_pretrained(network: MutableMapping[str, Any]) -> None:
    """Have the backbone of a network's config start random, in place: a checkpoint follows.

    Backbones whose constructors take neither `weights` nor `pretrained` are left as they are.
    """
    backbone = network.get("backbone")
    if isinstance(backbone, MutableMapping):
        for argument, value in _PRETRAINED.items():
            if takes_argument(backbone, argument):
                backbone[argument] = value


def takes_argument(part: Mapping[str, Any], argument: str, registry: Registry = MODELS) -> bool:
    """Whether the constructor behind a part's config names an argument."""
    factory = find_type(part.get("type"), registry)
    try:
        return factory is not None and argument in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # built-ins without a signature
        return False


def parts_taking(network: Mapping[str, Any], argument: str) -> list[str]:
    """The parts of a network's config whose constructors name an argument, in its order."""
    return [
        name for name, part in network.items() if isinstance(part, Mapping) and takes_argument(part, argument)
    ]


def find_type(kind: Any, registry: Registry) -> Any:
    """What a config's `type` stands for; None where it is nothing.

    mmengine takes a name that is not registered for a module's and imports it: a slip must not run a file,
    and a stranger's checkpoint even less. So only a path with a dot is imported, which `refuse_imports` keeps
    out of checkpoints.
    """
    if not isinstance(kind, str):
        return kind
    if kind in registry.module_dict:  # what is there needs no import of all rooms: the engine takes seconds
        return registry.module_dict[kind]
    registry.import_from_location()
    parent = registry.parent
    known = kind in registry.module_dict or (parent is not None and kind in parent.module_dict)
    return registry.get(kind) if known or "." in kind else None


def refuse_imports(value: Any) -> None:
    """Refuse configs from a stranger's file whose types would be imported by their path.

    A type with a dot in its name could be any function; the registered ones are networks, transforms and the
    like.

    Raises:
        InputError: names the type.
    """
    if isinstance(value, Mapping):
        kind = value.get("type", "")
        if not isinstance(kind, str) or "." in kind:
            raise InputError(f"it names the type {kind!r}, none of detr-kit's, so nothing of it was run")
        for part in value.values():
            refuse_imports(part)
    elif isinstance(value, list | tuple):
        for part in value:
            refuse_imports(part)


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
