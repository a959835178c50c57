"""Where downloads are kept and where they come from, as the environment says when they are asked for.

DETR_KIT_CACHE                one folder for everything below
TORCH_HOME                    files of addresses: TORCH_HOME/hub/checkpoints, shared with torch.hub
HF_HOME, HF_HUB_CACHE         models of the hub, shared with transformers
HF_HUB_OFFLINE                1: only what is here (what --offline sets)
HF_ENDPOINT                   a mirror of the hub
DETR_KIT_MIRROR               a mirror of addresses: MIRROR/HOST/PATH instead of https://HOST/PATH
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .table import find_published


def is_offline() -> bool:
    """Whether nothing may be fetched."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def file_of(url: str) -> Path:
    """Where the file of an address lies once it is fetched.

    Published files keep their names, as torch.hub has them; others get the address's digest in front, for
    many of them are called model.pth.
    """
    name = Path(unquote(urlsplit(url).path)).name[-100:] or "checkpoint"
    if find_published(url) is None:
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}"
    return _files() / name


def hub_folder() -> Path | None:
    """Where models of the hub lie; None leaves it to huggingface_hub."""
    own = os.environ.get("DETR_KIT_CACHE")
    return Path(own).expanduser() / "hub" if own else None


def mirrored(url: str) -> str:
    """The address that is asked for a file."""
    mirror = os.environ.get("DETR_KIT_MIRROR")
    return f"{mirror.rstrip('/')}/{url.split('://', 1)[1]}" if mirror else url


def _files() -> Path:
    own = os.environ.get("DETR_KIT_CACHE")
    if own:
        return Path(own).expanduser()
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"
