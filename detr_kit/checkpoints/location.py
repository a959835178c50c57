"""Where a checkpoint lies and where one may be written: known before any of it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import defaults
from ..errors import InputError
from ..weights import (
    NotHere,
    close_name,
    fetch_weights,
    find_published,
    is_address,
    is_remote,
    weights_of_model,
)

# The name under which the checkpoint inside the package is known, and where it lies.
BUILTIN = "builtin"
BUILTIN_FILE = Path(__file__).resolve().parents[1] / "_weights" / f"{defaults.BUILTIN}.safetensors"


def checkpoint_path(path: str | Path) -> Path:
    """Where a checkpoint lies; "builtin" is the one inside the package.

    Published weights (`detr_kit.weights`: a name, an address, an id on the hub) are fetched once. A file or
    folder of the same name comes first.

    Raises:
        InputError: they cannot be fetched.
    """
    if str(path) == BUILTIN:
        return BUILTIN_FILE
    return fetch_weights(str(path)) if is_elsewhere(path) else Path(path).expanduser()


def is_elsewhere(path: str | Path) -> bool:
    """Whether a checkpoint is one that `detr_kit.weights` gets, and no path.

    A run's folder may be called as published weights are: it counts only where it is a transformers folder.
    """
    name = str(path)
    if is_address(name) or not is_remote(name):
        return is_address(name)
    local = Path(path).expanduser()
    if find_published(name) is None:
        return not local.exists()
    return not (local.is_file() or (local / "config.json").is_file())


def default_checkpoint(model: Any) -> str:
    """The published weights of a model that is named without any, or of the default one: their name.

    Args:
        model: a config's name or path, None, or a config, which has none.

    Raises:
        InputError: none are published, or they cannot be fetched.
    """
    name = weights_of_model(model)
    if name is None:
        shown = getattr(model, "filename", model)
        raise InputError(f"no weights are published for {shown}; give a checkpoint")
    try:
        checkpoint_path(name)
    except NotHere as error:
        if model is not None:
            raise
        raise NotHere(
            f"{error}. The built-in detector, which finds coloured shapes, needs no network: "
            '--checkpoint builtin, in Python checkpoint="builtin"'
        ) from error
    return name


def existing_checkpoint(path: str | Path, what: str = "checkpoint") -> Path:
    """Where a checkpoint lies: a file or a folder that is there.

    Args:
        what: what the message calls it.

    Raises:
        InputError: nothing is there, or published weights cannot be fetched.
    """
    there = checkpoint_path(path)
    if not there.is_dir() and not there.is_file():
        close = close_name(str(path))
        raise InputError(f"{what} {there}: no such file" + (f"; did you mean {close!r}?" if close else ""))
    return there


def check_checkpoint_name(path: Path) -> None:
    """Raises InputError where a name does not end as a checkpoint's, or is a folder's."""
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise InputError(f"{path}: a checkpoint's name ends in .safetensors, .pth or .pt")
    if path.is_dir():
        raise InputError(f"{path}: a folder of that name is there; give another name")


def check_destination(source: str | Path, to: str, out: Path) -> None:
    """Whether a conversion has a name that fits, and that is not the source's.

    Raises:
        InputError: it has not.
    """
    if to == "huggingface" and out.suffix:
        raise InputError(f"-o {out}: transformers reads a folder; give a name without an ending")
    if to == "huggingface" and out.is_file():
        raise InputError(f"-o {out}: a file; transformers reads a folder, give another name")
    if to != "huggingface":
        check_checkpoint_name(out)
    if out.exists() and out.resolve() == checkpoint_path(source).resolve():
        raise InputError(f"-o {out}: that is the source; give another name")
