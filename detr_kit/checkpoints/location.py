"""Where a checkpoint lies and where one may be written: known before any of it is read."""

from __future__ import annotations

from pathlib import Path

from .. import defaults
from ..errors import InputError

# The name under which the checkpoint inside the package is known, and where it lies.
BUILTIN = "builtin"
BUILTIN_FILE = Path(__file__).resolve().parents[1] / "_weights" / f"{defaults.BUILTIN}.safetensors"


def checkpoint_path(path: str | Path) -> Path:
    """Where a checkpoint lies; "builtin" is the one inside the package."""
    return BUILTIN_FILE if str(path) == BUILTIN else Path(path).expanduser()


def existing_checkpoint(path: str | Path, what: str = "checkpoint") -> Path:
    """Where a checkpoint lies: a file or a folder that is there.

    Args:
        what: what the message calls it.

    Raises:
        InputError: nothing is there.
    """
    there = checkpoint_path(path)
    if not there.is_dir() and not there.is_file():
        raise InputError(f"{what} {there}: no such file")
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
