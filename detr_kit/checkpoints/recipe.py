"""The model that a training checkpoint belongs to, as plain data in the checkpoint itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..config import config_names, read_config
from ..errors import InputError
from ..registry import MODELS, TRANSFORMS, find_type, refuse_imports

RECIPE = "recipe"
"""Its key in a checkpoint's "meta", and in `CheckpointFile.metadata`."""
IMPORTS = "imports"
"""Beside the parts: the modules that a config's `custom_imports` named, for the message alone."""
_PARTS = ("network", "postprocessor", "transforms")


def read_recipe(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configs of a checkpoint's "network", "postprocessor" and test "transforms"; None where it has none.

    Raises:
        InputError: a type with a dot in its name. Those are imported by their path, and a stranger's file
            could name any function; the registered ones are networks, transforms and the like. Or a type that
            is not registered: a user's own part whose module is not imported.
    """
    recipe = metadata.get(RECIPE)
    if not isinstance(recipe, Mapping) or any(part not in recipe for part in _PARTS):
        return None
    try:
        refuse_imports(recipe)
    except InputError as error:
        raise InputError(f"its recipe: {error}; name the model's config") from error
    _check_known(recipe)
    return {part: recipe[part] for part in _PARTS}


def trained_as(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same, of the shipped config that a checkpoint names where it has no recipe of its own."""
    recipe = read_recipe(metadata)
    if recipe is not None or metadata.get("config") not in config_names():
        return recipe
    config = read_config(metadata["config"]).to_dict()
    return {**config["model"], "transforms": config["test_dataloader"]["dataset"]["transforms"]}


def _check_known(recipe: Mapping[str, Any]) -> None:
    """Refuse types that nobody has registered, with the modules that did so in training.

    They are named and not imported: a stranger's file must not choose what is run.
    """
    unknown = [
        kind
        for part in _PARTS
        for kind in _types(recipe[part])
        if find_type(kind, TRANSFORMS if part == "transforms" else MODELS) is None
    ]
    if unknown:
        imports = recipe.get(IMPORTS)
        names = [repr(str(name)) for name in imports] if isinstance(imports, list | tuple) else []
        own = f"own parts ({', '.join(dict.fromkeys(unknown))})"
        told = f"{own}, imported by {', '.join(names)}" if names else own
        raise InputError(
            f"it was trained with {told}. Give the config that it was trained with, which imports them "
            "(--model CONFIG), or import the module first; nothing of it was run"
        )


def _types(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "type" in value:
            yield value["type"]
        for part in value.values():
            yield from _types(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _types(part)
