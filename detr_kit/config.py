"""Finding and reading configs: by name (`deformable_detr_r50`) or by path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .custom_imports import import_own_parts
from .errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

_PACKAGE = Path(__file__).resolve().parent
_CONFIG_DIRS = (_PACKAGE.parent / "configs", _PACKAGE / "_configs")
_SCOPES = ("", "detr_kit", "detr-kit")  # of `detr_kit::NAME` and `::NAME`


def config_dir() -> Path:
    """The folder of the shipped configs: of the source tree, else of the installed package."""
    return next((folder for folder in _CONFIG_DIRS if (folder / "_base_").is_dir()), _CONFIG_DIRS[-1])


def config_names() -> list[str]:
    """Names of the shipped configs."""
    return sorted(path.stem for path in config_dir().glob("*.py"))


def find_config(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The file behind a config's name or path.

    Args:
        name_or_path: a path; or a shipped config as NAME, configs/NAME.py, detr_kit::NAME or ::NAME.
        folder: what a path is relative to; by default the current one.

    Raises:
        InputError: there is none; the message lists what there is.
    """
    path = (folder or Path()) / Path(name_or_path).expanduser()
    if path.is_file():
        return path
    shipped = _shipped(str(name_or_path))
    if shipped is not None:
        return shipped
    stem = Path(str(name_or_path).rpartition("::")[2]).stem
    close = difflib.get_close_matches(stem, config_names(), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known configs: {', '.join(config_names())}"
    raise InputError(f"config {str(name_or_path)!r}: no such file and no config of that name; {hint}")


def is_config(data: str) -> bool:
    """Whether what may be a data set's path is a config: a Python file, or a name that nothing here has."""
    path = Path(data).expanduser()
    return path.suffix == ".py" or (not path.exists() and path.suffix == "" and len(path.parts) == 1)


def _shipped(name: str) -> Path | None:
    """The shipped config of a name; also of configs/NAME.py, a path that holds in the source tree only."""
    scope, colons, name = name.rpartition("::")
    parts = Path(name).parts
    while parts and parts[0] == ".." and not colons:
        parts = parts[1:]
    inside = Path(*(parts[1:] if parts[:1] == ("configs",) else parts))
    if scope not in _SCOPES or not inside.name or inside.is_absolute() or ".." in inside.parts:
        return None
    path = config_dir() / inside
    path = path if path.suffix == ".py" else path.with_name(f"{path.name}.py")
    return path if path.is_file() else None


def read_config(name_or_path: str | Path) -> Config:
    """Read a config with everything it inherits, and import the parts that its `custom_imports` names.

    Modules are looked for beside the config and the ones that it inherits from, then on Python's path. A
    `_base_` may be a path relative to the config, or the name of a shipped config from anywhere.

    Raises:
        InputError: no such config, or it or a module that it imports cannot be run as Python.
    """
    path = find_config(name_or_path).absolute()

    from mmengine.config import Config  # slow; to find a config it is not needed

    with _bases_found_by_name() as folders:
        try:
            config = Config.fromfile(path, import_custom_modules=False)
        except InputError as error:
            raise InputError(f"config {path}: {error}") from error
        except RecursionError as error:
            raise InputError(f"config {path}: it inherits from itself, by its _base_ or theirs") from error
        except Exception as error:  # whatever a config's own lines may raise
            raise InputError(f"config {path}: it cannot be read: {type(error).__name__}: {error}") from error
    own = [folder for folder in (path.parent, *folders) if not folder.is_relative_to(config_dir())]
    import_own_parts(config, str(path), own)
    return config


@contextmanager
def _bases_found_by_name() -> Iterator[list[Path]]:
    """mmengine joins each `_base_` to its config's folder; for this while they are found as configs are.

    Yields:
        The folders of the bases that are found, as they are.
    """
    folders: list[Path] = []

    def find_base(base: str, config: str) -> tuple[str, str | None]:
        if "::" in base and base.partition("::")[0] not in _SCOPES:  # of another project
            return original.__func__(base, config)
        try:
            found = find_config(base, Path(config).parent)
        except InputError as error:
            raise InputError(f"_base_ of {config}: {error}") from error
        folders.append(found.absolute().parent)
        return str(found), None

    from mmengine.config import Config

    original = Config.__dict__["_get_cfg_path"]
    Config._get_cfg_path = staticmethod(find_base)
    try:
        yield folders
    finally:
        Config._get_cfg_path = original
