"""Finding and reading configs: by name (`deformable_detr_r50`) or by path."""

from __future__ import annotations

import difflib
from pathlib import Path

from mmengine.config import Config

from .errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_CONFIG_DIRS = (_PACKAGE.parent / "configs", _PACKAGE / "_configs")


def config_dir() -> Path:
    """The folder of the shipped configs: of the source tree, else of the installed package."""
    return next((folder for folder in _CONFIG_DIRS if (folder / "_base_").is_dir()), _CONFIG_DIRS[-1])


def config_names() -> list[str]:
    """Names of the shipped configs."""
    return sorted(path.stem for path in config_dir().glob("*.py"))


def find_config(name_or_path: str | Path) -> Path:
    """The file behind a config name or path.

    Raises:
        InputError: there is none; the message lists what there is.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    shipped = config_dir() / f"{path.stem}.py"
    # A bare name, or configs/NAME.py typed outside the source tree.
    if shipped.is_file() and path.parent in (Path(), Path("configs")) and path.suffix in ("", ".py"):
        return shipped
    close = difflib.get_close_matches(path.stem, config_names(), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known configs: {', '.join(config_names())}"
    raise InputError(f"config {str(name_or_path)!r}: no such file and no config of that name; {hint}")


def read_config(name_or_path: str | Path) -> Config:
    """Read a config with everything it inherits.

    Raises:
        InputError: no such config, or it cannot be read as Python.
    """
    path = find_config(name_or_path)
    try:
        return Config.fromfile(path)
    except (SyntaxError, NameError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"config {path}: it cannot be read: {type(error).__name__}: {error}") from error
