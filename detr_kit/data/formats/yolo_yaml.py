"""The file that describes a YOLO data set: a data.yaml, or darknet's obj.data."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...categories import class_name
from ...errors import InputError
from ..text_file import read_text
from .image_files import is_hidden
from .split import split_name

_SPLIT_OF_KEY = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
_KNOWN_KEYS = frozenset(("path", "names", "nc", "kpt_shape", "flip_idx", "kpt_names", "channels", "download"))
_NOTHING = ("", "null", "~", "none")
_PREFERRED = ("data.yaml", "data.yml")
_MOST_CLASSES = 100_000


@dataclass(frozen=True)
class YoloSettings:
    """What a description says.

    Attributes:
        file: the description; root: the folder that its entries are relative to.
        names: of the classes by their numbers, None where it does not say.
        entries: folders, lists of pictures or pictures of each split, as they are written.
        keypoints: label lines go on behind the box.
        notes, warnings: see Content.
    """

    file: Path
    root: Path
    names: dict[int, str] | None
    entries: dict[str, list[str]] = field(default_factory=dict)
    keypoints: bool = False
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class _TextLoader(yaml.BaseLoader):
    """Leaves every value as the text that the user wrote: YAML makes True of yes, and 7 of 007."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(keys) < 10_000 else None
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def find_settings(folder: Path) -> YoloSettings | None:
    """The settings of the one description in a folder; None where there is none.

    A data.yaml comes before other YAML files, and those before darknet's .data. A file counts that names
    classes (or says how many) and pictures; one with names alone where there is no other.

    Raises:
        InputError: several that say different things, or one that is broken.
    """
    found: dict[Path, Mapping[str, Any]] = {}
    broken: dict[Path, InputError] = {}
    for file in _files(folder, (".yaml", ".yml")):
        try:
            content = _load(file)
        except InputError as error:
            broken[file] = error
            continue
        if isinstance(content, Mapping) and ("names" in content or ("nc" in content and _has_split(content))):
            found[file] = content
    full = {file: content for file, content in found.items() if _has_split(content)}
    chosen = _choose(folder, full or found)
    for file, refusal in broken.items():
        if file.name.lower() in _PREFERRED or (chosen is None and _mentions_names(file)):
            raise refusal
    if chosen is None:
        return _darknet_in(folder)
    settings = _settings(chosen, found[chosen])
    for file in full:
        if file != chosen and full[file] != full[chosen]:
            settings.warnings.append(f"{file.name} is not read: {chosen.name} describes the set")
    settings.warnings.extend(f"{error}; {chosen.name} is read" for error in broken.values())
    return settings


def read_settings(file: Path) -> YoloSettings:
    """The settings of a file.

    Raises:
        InputError: it cannot be read, or does not describe a data set.
    """
    if file.suffix.lower() == ".data":
        return _darknet(file)
    content = _load(file)
    if not isinstance(content, Mapping) or not {"names", "nc"} & set(content):
        raise InputError(f"{file}: 'names' is missing; a YOLO data set lists its classes there")
    return _settings(file, content)


def read_names(file: Path) -> dict[int, str]:
    """The classes of a classes.txt or obj.names, one a line.

    Raises:
        InputError: a line between others is empty.
    """
    lines = read_text(file).rstrip().split("\n")
    return _numbered(dict(enumerate(lines)), file, "line {0}", first=1)


def _files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in suffixes and not is_hidden(p.name) and p.is_file()
    )


def _load(file: Path) -> Any:
    text = read_text(file)
    try:
        content = yaml.load(text, _TextLoader)  # a BaseLoader: it makes text, lists and dicts alone
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{file}: it cannot be read as YAML: {error}") from error
    if isinstance(content, Mapping):
        return {str(key).strip().lower(): value for key, value in content.items()}
    return content


def _mentions_names(file: Path) -> bool:
    return b"names" in file.read_bytes()


def _has_split(content: Mapping[str, Any]) -> bool:
    return any(_entries(content.get(key)) for key in _SPLIT_OF_KEY)


def _choose(folder: Path, files: Mapping[Path, Mapping[str, Any]]) -> Path | None:
    preferred = [file for name in _PREFERRED for file in files if file.name.lower() == name]
    candidates = preferred or list(files)
    if any(files[file] != files[candidates[0]] for file in candidates[1:]):
        named = " and ".join(file.name for file in candidates)
        raise InputError(
            f"{folder}: {named} describe different data sets; give one of the files instead of the folder"
        )
    return candidates[0] if candidates else None


def _settings(file: Path, content: Mapping[str, Any]) -> YoloSettings:
    notes: list[str] = []
    warnings: list[str] = []
    names = _names(content, file, notes, warnings)
    root = _root(content.get("path"), file, warnings)
    settings = YoloSettings(file, root, names, {}, "kpt_shape" in content, notes, warnings)
    _add_splits(settings, content)
    return settings


def _add_splits(settings: YoloSettings, content: Mapping[str, Any]) -> None:
    file = settings.file
    for key, value in content.items():
        entries, split = _entries(value), _SPLIT_OF_KEY.get(key)
        unread = f"{file.name}: {key}: {reprlib.repr(value)} is not read"
        if split is None:
            if key not in _KNOWN_KEYS and _may_be_a_split(key, entries, settings.root):
                settings.warnings.append(f"{unread}; splits are train, val and test")
        elif any(isinstance(entry, Mapping | list) for entry in entries):
            raise InputError(
                f"{file}: {key}={reprlib.repr(value)}: it must be a folder, a text file of pictures, or a "
                "list of these"
            )
        elif split not in settings.entries and entries:
            settings.entries[split] = [str(entry) for entry in entries]
        elif entries and settings.entries[split] != entries:
            settings.warnings.append(f"{unread}: {split} is there already")


def _entries(value: Any) -> list[Any]:
    """The entries of a key; none where it is not there, or says nothing."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if v is not None and not (isinstance(v, str) and v.strip().lower() in _NOTHING)]


def _may_be_a_split(key: str, entries: list[Any], root: Path) -> bool:
    texts = [entry for entry in entries if isinstance(entry, str) and len(entry) < 1000 and "\0" not in entry]
    return bool(texts) and (split_name(key) is not None or any((root / text).exists() for text in texts))


def _root(given: Any, file: Path, warnings: list[str]) -> Path:
    """`path` as the training programs read it: relative to the yaml file, else to the working directory."""
    entries = _entries(given)
    if not entries:
        return file.parent
    text = str(entries[0]).replace("\\", "/")
    candidates = [file.parent / text, file.parent.parent / text, Path(text).expanduser()]
    found = next((folder for folder in candidates if folder.is_dir()), None)
    if found is None:
        # A set that was moved still has the path of where it was made: its own folder is tried last.
        warnings.append(f"{file.name}: path: {text!r} is not here; the folder of {file.name} is taken")
    return found or file.parent


def _names(content: Mapping[str, Any], file: Path, notes: list[str], warnings: list[str]) -> dict[int, str]:
    count = _count(content.get("nc"), file)
    if count is not None and not _entries(content.get("names")):
        notes.append(f"{file.name} says nc: {count} and names no class; they are called by their numbers")
        return {index: f"class {index}" for index in range(count)}
    names = _names_of(content.get("names"), file)
    _compare(count, names, f"{file.name}: nc", warnings)
    return names


def _compare(count: int | None, names: Mapping[int, str], key: str, warnings: list[str]) -> None:
    if count is not None and count != len(names):
        warnings.append(f"{key}: {count} against {len(names)} names; the names count")


def _count(value: Any, file: Path) -> int | None:
    if not _entries(value):
        return None
    if not (isinstance(value, str) and value.isdecimal() and int(value) <= _MOST_CLASSES):
        raise InputError(f"{file}: nc={reprlib.repr(value)}: it must be the number of classes")
    return int(value)


def _names_of(value: Any, file: Path) -> dict[int, str]:
    """Names by number: of a list, of number: name pairs, or of a file with a name a line."""
    if isinstance(value, list) and value:
        return _numbered(dict(enumerate(value)), file, "names[{0}]")
    if isinstance(value, Mapping) and value and all(str(key).strip().isdecimal() for key in value):
        numbered = {int(str(key)): value[key] for key in value}
        if len(numbered) == len(value):
            return _numbered({key: numbered[key] for key in sorted(numbered)}, file, "names: {0}")
    if (
        isinstance(value, str)
        and 0 < len(value) < 1000
        and "\0" not in value
        and (file.parent / value).is_file()
    ):
        return read_names(file.parent / value)
    raise InputError(
        f"{file}: names={reprlib.repr(value)}: it must be a list, or number: name for each class"
    )


def _numbered(names: Mapping[int, Any], file: Path, place: str, first: int = 0) -> dict[int, str]:
    for index, name in names.items():
        if isinstance(name, list | Mapping):
            raise InputError(f"{file}: {place.format(index + first)}: {reprlib.repr(name)} is not a name")
        if not class_name(name):
            raise InputError(f"{file}: {place.format(index + first)} is empty; give class {index} its name")
    return {index: class_name(name) for index, name in names.items()}


def _darknet_in(folder: Path) -> YoloSettings | None:
    files = [file for file in _files(folder, (".data",)) if "names" in _pairs(file)]
    if len(files) > 1:
        named = " and ".join(file.name for file in files)
        raise InputError(
            f"{folder}: {named} describe different data sets; give one of the files instead of the folder"
        )
    return _darknet(files[0]) if files else None


def _pairs(file: Path) -> dict[str, str]:
    """`key = value` of each line."""
    lines = (line.partition("=") for line in read_text(file).split("\n") if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in lines}


def _darknet(file: Path) -> YoloSettings:
    pairs = _pairs(file)
    if "names" not in pairs:
        raise InputError(f"{file}: 'names' is missing; darknet's .data names a file with the classes there")
    # Its paths are relative to where darknet was started: data/obj.names is beside obj.data.
    given = Path(pairs["names"].replace("\\", "/"))
    near = (file.parent / given, file.parent / given.name, file.parent.parent / given)
    found = next((path for path in near if path.is_file()), None)
    if found is None:
        raise InputError(f"{file}: names={pairs['names']!r}: no {near[0]}; correct it")
    settings = YoloSettings(file, file.parent, read_names(found))
    _compare(
        _count(pairs.get("classes"), file), settings.names or {}, f"{file.name}: classes", settings.warnings
    )
    _add_splits(settings, {key: value for key, value in pairs.items() if key in _SPLIT_OF_KEY})
    return settings
