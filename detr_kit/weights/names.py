"""What a checkpoint's name can mean besides a path."""

from __future__ import annotations

import difflib
import re

from .table import all_published, find_published

_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".onnx", ".pt2", ".aoti", ".xml", ".py", ".json")


def is_address(name: str) -> bool:
    """Whether a name is an http(s) address."""
    return name.lower().startswith(("http://", "https://"))


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a model on the hub, OWNER/NAME, and not of a file's path."""
    return bool(_ID.fullmatch(name)) and name[0] != "." and not _is_file(name)


def is_remote(name: str) -> bool:
    """Whether a name is one of published weights, an address, or has the form of an id on the hub."""
    return is_address(name) or (not _is_file(name) and (find_published(name) is not None or is_hub_id(name)))


def close_name(name: str) -> str | None:
    """The name of published weights that a misspelt one means, as far as that can be told."""
    names = [] if _is_file(name) else [row.name for row in all_published()]
    return next(iter(difflib.get_close_matches(name, names, n=1)), None)


def _is_file(name: str) -> bool:
    return name.endswith(_FILES)
