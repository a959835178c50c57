"""A measurement in a process of its own: its peak memory is its own too."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments) in a fork of this process, which must not have computed anything by itself.

    A fork of what has run threads before may wait for them for ever; imports do no harm.

    Raises:
        RuntimeError: it did not end well; its traceback is on stderr.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(there, function, arguments))
    child.start()
    there.close()
    try:
        return here.recv()
    except EOFError as error:
        raise RuntimeError(f"{function.__name__}{arguments} ended early") from error
    finally:
        child.join()


def peak_megabytes(call: Callable[[], Any]) -> float:
    """MB that a call holds at most, above what this process holds before it (Linux, glibc)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before would be used again, and not be seen
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _kilobytes("VmRSS")
    call()
    return (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


def _run(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(function(*arguments))
    pipe.close()
