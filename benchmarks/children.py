"""A measurement in a process of its own: its peak memory is its own too."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
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


def peak_bytes() -> int:
    """The most memory that this process has held at any time (resident)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(function(*arguments))
    pipe.close()
