"""What a checkpoint's name can mean besides a path."""

from __future__ import annotations

import re

from .table import find_published

_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".onnx", ".pt2", ".aoti", ".xml", ".py", ".json")


def is_address(name: str) -> bool:
    """Whether a name is an http(s) address."""
    return name.lower().startswith(("http://", "https://"))


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a model on the hub, OWNER/NAME, and not of a file's path."""
    return bool(_ID.fullmatch(name)) and name[0] != "." and not name.endswith(_FILES)


def is_remote(name: str) -> bool:
    """Whether a name is one of published weights, an address, or has the form of an id on the hub."""
    return is_address(name) or find_published(name) is not None or is_hub_id(name)
