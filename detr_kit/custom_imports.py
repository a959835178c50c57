"""A user's own parts: modules beside a config, imported because the config names them."""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError

# First names of modules that configs' folders had, helpers of the named ones too, in this process.
_from_folders: set[str] = set()


def import_own_parts(config: MutableMapping[str, Any], name: str, folders: Sequence[Path]) -> None:
    """Import the modules of a config's `custom_imports`, which register what they hold.

    The folders that had one are noted as `custom_imports.folders`, for the copy of the config that a run
    keeps in its work directory.

    Args:
        config: as read; name: for messages.
        folders: where modules may lie, before Python's own path.

    Raises:
        InputError: names the config, the module, and the folders searched or the line that failed.
    """
    wanted = config.get("custom_imports")
    if not wanted:
        return
    modules = imported_names(config)
    if modules is None:
        raise InputError(
            f'config {name}: custom_imports={wanted!r}; write custom_imports = dict(imports=["my_module"])'
        )
    folders = list(dict.fromkeys([*folders, *map(Path, wanted.get("folders", ()))]))
    for module in modules:
        try:
            _import(module, folders)
        except (Exception, SystemExit) as error:  # whatever the module's own lines may raise
            reason = f"config {name}: custom_imports: {_reason(module, folders, error)}"
            if not (isinstance(error, ImportError) and wanted.get("allow_failed_imports")):
                raise InputError(reason) from error
            warnings.warn(reason, stacklevel=2)
    files = [_file_of(module) for module in modules]
    used = [folder for folder in folders if any(file and file.is_relative_to(folder) for file in files)]
    if used:
        wanted["folders"] = [str(folder) for folder in used]


def imported_names(config: Mapping[str, Any]) -> list[str] | None:
    """The modules that a config's `custom_imports` names; None where it is not of mmengine's form."""
    wanted = config.get("custom_imports") or {}
    names = wanted.get("imports", []) if isinstance(wanted, Mapping) else None
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        return None
    return list(names)


def _import(module: str, folders: Sequence[Path]) -> None:
    for known in (module, *_from_folders):
        _refuse_another_of_the_name(known, folders)
    importlib.invalidate_caches()  # a notebook may have written it a moment ago
    before = set(sys.modules)
    with _first_on_path(folders):
        importlib.import_module(module)
    new = {name.partition(".")[0] for name in sys.modules.keys() - before}
    _from_folders.update(name for name in new if _beside(name, folders) is not None)


def _refuse_another_of_the_name(module: str, folders: Sequence[Path]) -> None:
    """Python keeps one module of a name: that of a second folder would silently be the first one's."""
    meant, imported = _beside(module, folders), _file_of(module)
    if meant is not None and imported is not None and meant != imported:
        raise InputError(
            f"{meant} is meant, and in this process {module!r} is {imported} already. Give one of them "
            "another name, or use a process for each config"
        )


def _beside(module: str, folders: Sequence[Path]) -> Path | None:
    """The file of a module in the first of some folders that has it."""
    path = Path(*module.split("."))
    files = (folder / place for folder in folders for place in (path / "__init__.py", f"{path}.py"))
    return next((file.resolve() for file in files if file.is_file()), None)


def _file_of(module: str) -> Path | None:
    """The file of a module that is imported."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file).resolve()


@contextmanager
def _first_on_path(folders: Sequence[Path]) -> Iterator[None]:
    """For the import only: what lies beside a config must not hide modules from anything else."""
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            if folder in sys.path:
                sys.path.remove(folder)


def _reason(module: str, folders: Sequence[Path], error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        remedy = f"put {module.replace('.', '/')}.py beside the config, or its folder into PYTHONPATH"
        if module.endswith(".py") or "/" in module:
            remedy = f"write {module.removesuffix('.py').replace('/', '.')!r}, a module's name"
        searched = ", ".join(map(str, folders))
        return f"no module {module!r} in {searched}, nor among those that Python knows; {remedy}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(Path(frame.filename).is_relative_to(f) for f in folders)]
    where = f"{own[-1].filename}, line {own[-1].lineno}" if own else f"module {module!r}"
    return f"{where}: {type(error).__name__}: {error}"
