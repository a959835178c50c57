"""The families that are known, and which one weights or a network are of."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from ..errors import InputError
from .family import Family
from .key_names import KeyNames

FORMATS = ("detr_kit", "official", "mmdet", "detrex", "huggingface")
_FAMILIES: dict[str, Family] = {}


def register(family: type[Family]) -> type[Family]:
    """Class decorator: make a family known; one of that name before it gives way."""
    _FAMILIES[family.name] = family()
    return family


def families() -> tuple[Family, ...]:
    """All that are known."""
    return tuple(_FAMILIES.values())


def beginnings() -> tuple[str, ...]:
    """How keys begin by which checkpoints of detectors are known; one of them is in every checkpoint."""
    found = [begin for family in families() for names in family.key_names for begin in names.beginnings]
    return tuple(dict.fromkeys(found))


def family_of_keys(keys: Iterable[str]) -> tuple[Family, KeyNames]:
    """Whose keys these are, and in which format.

    Raises:
        InputError: of no known family.
    """
    keys = list(keys)
    candidates = [
        (family, names)
        for family in families()
        for names in family.key_names
        if names.missing(keys) != list(names.marks)
    ]
    whole = [(family, names) for family, names in candidates if not names.missing(keys)]
    if whole:
        return max(whole, key=lambda pair: len(pair[1].marks))
    for _, names in candidates:
        if any(key.startswith(names.beginnings) for key in keys):
            missing = names.missing(keys)[0]
            raise InputError(f"these look like {names.format} weights of a DETR, but {missing!r} is missing")
    known = ", ".join(family.name for family in families())
    raise InputError(
        f"these are not the weights of a DETR in a known format ({', '.join(FORMATS)}), of {known}; "
        f"{len(keys)} tensors, the first keys are {keys[:3]}"
    )


def family_of_network(network: nn.Module) -> Family:
    """The family of a network.

    Raises:
        InputError: of none.
    """
    for family in families():
        if type(network) is family.network:
            return family
    for family in families():
        if isinstance(network, family.network):
            return family
    known = ", ".join(family.network.__name__ for family in families())
    raise InputError(f"a {type(network).__name__} is of no known family of networks; known are {known}")
