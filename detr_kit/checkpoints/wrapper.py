"""The network's own keys among those of whatever it was wrapped into when it was saved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from ..errors import InputError
from ..families import beginnings
from .averaged import covers, is_averaged
from .convert import detect_format

# Put by torch.compile, FSDP and activation checkpointing in the middle of keys too.
_TRANSPARENT = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# What training wrappers keep beside a network under its own prefix: pixel statistics, losses, metrics.
_BESIDE = re.compile(
    r"(pixel_mean|pixel_std|data_preprocessor|n_averaged"
    r"|([a-z]+_)?(criterion|criteria|loss|losses|loss_fn|matcher|metric|metrics|map))(\.|$)"
)


class Unwrapped(NamedTuple):
    """The network's tensors under its own keys, the prefix that was taken off, and keys that are not its."""

    state: dict[str, Tensor]
    prefix: str
    left_out: list[str]


def strip_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own keys out of those of its wrapper, see `unwrap_state`."""
    return unwrap_state(state).state


def unwrap_state(state: Mapping[str, Tensor]) -> Unwrapped:
    """Take off what DistributedDataParallel, torch.compile, Lightning, detectron2, an EMA, … put before keys.

    The prefix is found, not known: before some key that one of the formats begins with. Of several networks
    that are there side by side the averaged one is taken, else the largest.

    Returns:
        The tensors under the network's own keys; as they are where no known network is found.
    """
    plain = {_TRANSPARENT.sub("", key): tensor for key, tensor in state.items()}
    found = [one for prefix in prefixes(plain) if _is_known((one := _without(plain, prefix)).state)]
    if not found:
        return Unwrapped(plain, "", [])
    largest = max(found, key=lambda one: len(one.state))
    averaged = [one for one in found if is_averaged(one.prefix) and covers(one.state, largest.state)]
    return (averaged or [largest])[0]


def prefixes(keys: Iterable[str]) -> list[str]:
    """What stands before the beginnings of known formats' keys, shortest first; often only ""."""
    found, known = set(), beginnings()
    for key in keys:
        for signature in known:
            start = f".{key}".find(f".{signature}")
            if start >= 0:
                found.add(key[:start])
    return sorted(found, key=len)


def _without(state: Mapping[str, Tensor], prefix: str) -> Unwrapped:
    own = {
        key.removeprefix(prefix): tensor
        for key, tensor in state.items()
        if key.startswith(prefix) and not _BESIDE.match(key.removeprefix(prefix))
    }
    left_out = [key for key in state if not key.startswith(prefix) or key.removeprefix(prefix) not in own]
    return Unwrapped(own, prefix, left_out)


def _is_known(state: Mapping[str, Tensor]) -> bool:
    try:
        detect_format(state)
    except InputError:
        return False
    return True
