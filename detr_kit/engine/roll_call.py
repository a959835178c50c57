"""Which of a run's processes is missing, so that a message can name it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

_GRACE = 2.0
"""Seconds in which processes that wait for the same one come out of it."""
_HERE, _LEFT = "detr_kit/here/{}", "detr_kit/left/{}"


def come() -> None:
    """Say that this process is there, and where it runs."""
    if dist.is_initialized():
        place = {"host": socket.gethostname(), "process": os.getpid()}
        _get_default_store().set(_HERE.format(dist.get_rank()), json.dumps(place))


def leave(why: str) -> None:
    """Say why this process ends before its work is done; where nobody listens any more it says nothing."""
    with contextlib.suppress(RuntimeError, ConnectionError, ValueError):
        _get_default_store().set(_LEFT.format(dist.get_rank()), why)


def missing() -> str:
    """The others that stopped before this one did, or say nothing: one text for a message.

    It waits a few seconds for those that are late for the same reason as this one.
    """
    try:
        store, rank = _get_default_store(), dist.get_rank()
        others = [other for other in range(dist.get_world_size()) if other != rank]
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and not all(store.check([_LEFT.format(other)]) for other in others):
            time.sleep(0.1)
        found = []
        for other in others:
            why = store.get(_LEFT.format(other)).decode() if store.check([_LEFT.format(other)]) else None
            if why:
                found.append(f"{_name(store, other)} stopped: {why}")
            elif why is None:
                found.append(f"{_name(store, other)} is gone or stuck")
        return "; ".join(found) or "all others wait as well"
    except (RuntimeError, ConnectionError, ValueError):
        return "the first process is gone, with what it knew of the others"


def _name(store: dist.Store, rank: int) -> str:
    if not store.check([_HERE.format(rank)]):
        return f"rank {rank}"
    place = json.loads(store.get(_HERE.format(rank)))
    return f"rank {rank} (host {place['host']}, process {place['process']})"
