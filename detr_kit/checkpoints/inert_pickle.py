"""Reading the tensors of a PyTorch file whatever else it holds, without running any of that.

A pickle names functions and classes, and calls them. Here a name never leads to the thing itself: the few
that make tensors lead to stand-ins of ours, every other one to a `Placeholder`, which swallows whatever is
done with it. So nothing is imported and no code but this file's is called. Tensors stay references into the
file (`StoredTensor`) until somebody wants them.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "UntypedStorage": torch.uint8,
}  # fmt: skip
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Placeholder:
    """Stands for any object of a stranger: it can be made, called, filled and set, and does nothing.

    Attributes:
        items: what was put into it by key.
        state: what it was to be restored from.
    """

    items: dict[Any, Any]
    state: Any

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        made = object.__new__(cls)
        made.items, made.state = {}, None
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Placeholder:
        return Placeholder()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, _: Any) -> None:
        """As lists have it; `extend` and `add` likewise."""

    extend = add = append

    # A file may also set the state of a class, not of an instance: then there is one argument.
    def __setstate__(*arguments: Any) -> None:
        if len(arguments) == 2:
            arguments[0].state = arguments[1]


class PlainDict(dict):
    """Stands for the dicts of the standard library; attributes that a file sets on it are dropped."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(arguments[0] if arguments and isinstance(arguments[0], dict | list) else ())

    def __setstate__(*_: Any) -> None:
        pass


class StoredTensor(NamedTuple):
    """A tensor that lies in a file; `storage` reads all that it is a view of, as one flat tensor."""

    storage: Callable[[], Tensor]
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            ValueError, RuntimeError: the file has no such storage, or too small a one.
        """
        return self.storage().as_strided(self.size, self.stride, self.offset)


class InertContent(NamedTuple):
    """What a file holds: plain values, `StoredTensor`s, `Placeholder`s, and the names of those."""

    value: Any
    foreign: list[str]


def read_inert(path: Path) -> InertContent:
    """Read a file of torch.save, of today's format (a zip archive) or the one before.

    Raises:
        Exception: of many kinds, for a file that is neither, or damaged.
    """
    return _read_archive(path) if zipfile.is_zipfile(path) else _read_legacy(path)


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str


class _StandIn:
    """A function of ours in place of one of torch's; nothing can be set on it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Plain values, tensors as references, and placeholders for the rest.

    Args:
        file: at the beginning of a pickle.
        read_storage: key -> its bytes.
    """

    def __init__(self, file: BinaryIO, read_storage: Callable[[str], bytearray]) -> None:
        super().__init__(file)
        self._read_storage = read_storage
        self._bytes: dict[str, bytearray] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        self.foreign: list[str] = []
        self._stand_ins: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self._tensor_of_type,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch._utils", "_rebuild_parameter_with_state"): lambda tensor, *_: tensor,
            ("torch._tensor", "_rebuild_from_type_v2"): _of_subclass,
        }

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name. Nothing is looked up anywhere but here."""
        if (module, name) in self._stand_ins:
            return _StandIn(self._stand_ins[module, name])
        if module == "collections" and name in ("OrderedDict", "defaultdict", "Counter"):
            return PlainDict
        if name == "set" and module in ("builtins", "__builtin__"):
            return set
        if module in ("torch", "torch.cuda", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return vars(torch)[name]
        full_name = f"{module}.{name}"
        if full_name not in self.foreign:
            self.foreign.append(full_name)
        return Placeholder

    def persistent_load(self, pid: Any) -> Any:
        """The reference to a storage, or the placeholder of a module's class."""
        if len(pid) == 4 and pid[0] == "module" and pid[1] is Placeholder:  # the older format
            return Placeholder
        kind, dtype, key, _, _, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(view):
            raise pickle.UnpicklingError("a reference to something that is no whole storage")
        self.dtypes[str(key)] = dtype
        return _Storage(dtype, str(key))

    def _tensor(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> StoredTensor:
        return self._tensor_of_type(storage, offset, size, stride, None, None, storage.dtype)

    def _tensor_of_type(
        self, storage: _Storage, offset: int, size: Any, stride: Any, _: Any, __: Any, dtype: Any, *___: Any
    ) -> StoredTensor:
        if not isinstance(storage, _Storage) or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("a tensor without a storage")
        return StoredTensor(lambda: self._flat(storage.key, dtype), offset, tuple(size), tuple(stride))

    def _flat(self, key: str, dtype: torch.dtype) -> Tensor:
        if key not in self._bytes:  # read once: tensors that share a storage go on sharing it
            self._bytes[key] = self._read_storage(key)
        data = self._bytes[key]
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _of_subclass(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """A tensor of a subclass, as the plain tensor that it is made of."""
    return function(*arguments) if isinstance(function, _StandIn) else Placeholder()


def _read_archive(path: Path) -> InertContent:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError("no data.pkl in the archive")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in names and _part(archive, f"{folder}byteorder") != b"little":
            raise ValueError("numbers in big-endian order")

        def read_storage(key: str) -> bytearray:
            with zipfile.ZipFile(path) as again:
                return _part(again, f"{folder}data/{key}")

        unpickler = _Unpickler(io.BytesIO(_part(archive, pickles[0])), read_storage)
        return InertContent(unpickler.load(), unpickler.foreign)


def _part(archive: zipfile.ZipFile, name: str) -> bytearray:
    part = archive.getinfo(name)
    if part.compress_type != zipfile.ZIP_STORED:  # torch compresses nothing; it could unfold to any size
        raise ValueError(f"{name} is compressed")
    return bytearray(archive.read(part))


def _read_legacy(path: Path) -> InertContent:
    """Magic number, version, machine, the object, the storages' keys; then size and bytes of each of them."""
    places: dict[str, tuple[int, int]] = {}

    def read_storage(key: str) -> bytearray:
        start, length = places[key]
        with path.open("rb") as file:
            file.seek(start)
            data = bytearray(file.read(length))
        if len(data) < length:
            raise ValueError("cut off")
        return data

    with path.open("rb") as file:
        if _Unpickler(file, read_storage).load() != _LEGACY_MAGIC:
            raise ValueError("a bare pickle")
        for _ in ("version", "machine"):
            _Unpickler(file, read_storage).load()
        unpickler = _Unpickler(file, read_storage)
        value = unpickler.load()
        for key in map(str, _Unpickler(file, read_storage).load()):
            length = int.from_bytes(file.read(8), "little") * unpickler.dtypes[key].itemsize
            places[key] = (file.tell(), length)
            file.seek(length, 1)
        return InertContent(value, unpickler.foreign)
