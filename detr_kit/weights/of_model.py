"""The published weights of a model that is named without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import config_dir, find_config
from ..defaults import MODEL
from .table import published_of


def weights_of_model(model: Any) -> str | None:
    """The name of the published weights of a shipped config; of the default model's where none is named.

    Args:
        model: a config's name or path, or None. Any other config has none, for it may have been changed.

    Raises:
        InputError: no such config.
    """
    if not isinstance(model, str | Path | None):
        return None
    path = find_config(MODEL if model is None else model).absolute()
    row = published_of(path.stem) if path.parent == config_dir().absolute() else None
    return None if row is None else row.name
