"""Finds what is misspelt in a config before anything is built."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .. import registry as ours
from ..errors import InputError
from ..registry import check_arguments, find_type

# Which registry a part of the config is built by: the longest matching path decides.
_REGISTRY_OF = {
    ("model",): ours.MODELS,
    ("*_dataloader", "dataset"): ours.DATASETS,
    ("*_dataloader", "dataset", "transforms"): ours.TRANSFORMS,
    ("*_dataloader", "sampler"): ours.DATA_SAMPLERS,
    ("*_dataloader", "batch_sampler"): ours.DATA_SAMPLERS,
    ("*_dataloader", "collate_fn"): ours.FUNCTIONS,
    ("*_evaluator",): ours.METRICS,
    ("optim_wrapper",): ours.OPTIM_WRAPPERS,
    ("optim_wrapper", "optimizer"): ours.OPTIMIZERS,
    ("param_scheduler",): ours.PARAM_SCHEDULERS,
    ("default_hooks",): ours.HOOKS,
    ("custom_hooks",): ours.HOOKS,
    ("visualizer",): ours.VISUALIZERS,
    ("visualizer", "vis_backends"): ours.VISBACKENDS,
    ("log_processor",): ours.LOG_PROCESSORS,
    ("*_cfg",): ours.LOOPS,
}
# What the Runner hands to a part itself.
_GIVEN_BY_RUNNER = {"constructor", "paramwise_cfg", "priority"}
# Top-level settings that the Runner takes from the config itself, or the config's reader from its file.
_READ_ELSEWHERE = {"data_check", "compile", "custom_imports", "find_unused_parameters", "fsdp"}
_NOT_BUILT = {"env_cfg", "paramwise_cfg", "clip_grad"}
_CLIP_GRAD = {"type", "max_norm", "norm_type", "clip_value", "error_if_nonfinite", "foreach"}


def check_config(config: Config, name: str) -> None:
    """Refuse unknown types, unknown arguments and misspelt top-level keys.

    Plain variables (numbers, strings, names that begin with an underscore) may be called anything that does
    not look like a slip of a known key.

    Raises:
        InputError: names the config, the place in it and the nearest known name.
    """
    _check_top_level(config, name)
    for section in ("model", "train_dataloader", "optim_wrapper", "train_cfg"):
        if section not in config:
            raise InputError(
                f"config {name}: {section!r} is missing; inherit it from a config in configs/_base_"
            )
    unknown = set(config.optim_wrapper.get("clip_grad") or ()) - _CLIP_GRAD
    if unknown:
        raise InputError(f"config {name}: optim_wrapper.clip_grad: unknown {unknown.pop()!r}; use max_norm")
    with DefaultScope.overwrite_default_scope("detr_kit"):
        for path, part in _typed_parts(config.to_dict()):
            try:
                _check_part(path, part)
            except InputError as error:
                message = str(error).removeprefix("config: ")
                raise InputError(f"config {name}: {'.'.join(map(str, path))}: {message}") from None


def top_level_keys() -> set[str]:
    """What the Runner and detr-kit read from the top level of a config."""
    return {*inspect.signature(Runner.__init__).parameters, "runner_type", "data_root", *_READ_ELSEWHERE} - {
        "self"
    }


def _check_top_level(config: Config, name: str) -> None:
    known = top_level_keys()
    for key, value in config.items():
        if key in known or key.startswith("_"):
            continue
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if close or isinstance(value, Mapping):
            hint = f"did you mean {close[0]!r}?" if close else "a config section has to be one of mmengine's"
            raise InputError(f"config {name}: unknown key {key!r}; {hint}")


def _typed_parts(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Mapping]]:
    if isinstance(value, Mapping):
        if "type" in value or (len(path) == 1 and path[0].endswith("_dataloader")):
            yield path, value
        for key, part in value.items():
            if key not in _NOT_BUILT and not str(key).startswith("_"):
                yield from _typed_parts(part, (*path, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _typed_parts(part, (*path, index))


def _check_part(path: tuple, part: Mapping) -> None:
    arguments = {k: v for k, v in part.items() if k not in {"type", *_GIVEN_BY_RUNNER}}
    if len(path) == 1 and path[0].endswith("_dataloader"):
        extra = {"dataset", "num_batch_per_epoch"}
        check_arguments(DataLoader, {k: v for k, v in arguments.items() if k not in extra}, extra)
        return
    registry = _registry_of(path)
    if registry is None:
        return
    kind = part["type"]
    factory = find_type(kind, registry)
    if factory is None:
        raise InputError(
            f"type={kind!r} is no {registry.name} of detr-kit or mmengine{_close(kind, registry)}"
        )
    # Only our own parts are built from the config alone; mmengine's get a runner, an optimizer, ….
    required_too = registry in (ours.MODELS, ours.TRANSFORMS, ours.DATASETS)
    given = () if required_too else tuple(inspect.signature(factory).parameters)
    check_arguments(factory, arguments, given)


def _registry_of(path: tuple) -> Registry | None:
    names = [key for key in path if isinstance(key, str)]
    for length in range(len(names), 0, -1):
        for pattern, registry in _REGISTRY_OF.items():
            if len(pattern) == length and all(_fits(p, n) for p, n in zip(pattern, names, strict=False)):
                return registry
    return None


def _fits(pattern: str, name: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern


def _close(kind: str, registry: Registry) -> str:
    known = {*registry.module_dict, *(registry.parent.module_dict if registry.parent else ())}
    close = difflib.get_close_matches(kind, known, n=1)
    own = 'one of your own is registered by a module that custom_imports = dict(imports=["…"]) names'
    return f"; did you mean {close[0]!r}? If not: {own}" if close else f"; {own}"
