"""The model that a training checkpoint belongs to, as plain data in the checkpoint itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..registry import refuse_imports

RECIPE = "recipe"
"""Its key in a checkpoint's "meta", and in `CheckpointFile.metadata`."""
_PARTS = ("network", "postprocessor", "transforms")


def read_recipe(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configs of a checkpoint's "network", "postprocessor" and test "transforms"; None where it has none.

    Raises:
        InputError: a type with a dot in its name. Those are imported by their path, and a stranger's file
            could name any function; the registered ones are networks, transforms and the like.
    """
    recipe = metadata.get(RECIPE)
    if not isinstance(recipe, Mapping) or any(part not in recipe for part in _PARTS):
        return None
    try:
        refuse_imports(recipe)
    except InputError as error:
        raise InputError(f"its recipe: {error}; name the model's config") from error
    return {part: recipe[part] for part in _PARTS}
