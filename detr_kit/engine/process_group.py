"""The processes of a run meet here before it and part here after it, whatever way it ends."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

# Default arguments of this module keep the group that exists when it is first imported, and with it the
# group's threads: it has to be imported while there is none.
import torch.distributed.nn.functional
from mmengine.logging import print_log

from ..errors import InputError


@contextmanager
def process_group(launcher: str) -> Iterator[None]:
    """Close the group of processes that is made inside, on every way out.

    After the work is done the processes wait for each other, as long as the group's own time-out allows: the
    first may still be writing a checkpoint, and a launcher stops the others when one is gone. After an error
    nobody is waited for, since the others may be gone or stuck. A group that was there before is its maker's.

    Args:
        launcher: "none", "pytorch" or "slurm".

    Raises:
        InputError: another process was lost in the middle of the work.
    """
    if dist.is_initialized():
        yield
        return
    _start_without_gpu(launcher)
    try:
        yield
        _wait_for_the_others()
    except (RuntimeError, ConnectionError) as error:
        if not _tells_of_a_lost_process(error):
            raise
        raise InputError(
            f"the connection to another process of this run was lost ({str(error).splitlines()[0]}): it "
            "ended before its work was done, and its own output or the system's log says why. The "
            "checkpoints that are there are whole: go on with --resume"
        ) from error
    finally:
        if dist.is_initialized():
            # A thread of the group that still runs when the interpreter ends may abort the process. Whatever
            # holds the group keeps its threads, so what is left of the run in reference cycles goes too.
            gc.collect()
            dist.destroy_process_group()
            gc.collect()


def _start_without_gpu(launcher: str) -> None:
    """mmengine's launchers ask for a GPU whatever the backend; on a CPU the group is made here."""
    if launcher == "pytorch" and not torch.cuda.is_available():
        dist.init_process_group("gloo")


def _wait_for_the_others() -> None:
    """What this process had to do is done: if another fails now, its own exit code says so."""
    if not dist.is_initialized():
        return
    try:
        dist.barrier()
    except (RuntimeError, ConnectionError) as error:
        line = str(error).splitlines()[0]
        print_log(f"another process did not end as it should: {line}", "current", logging.WARNING)


def _tells_of_a_lost_process(error: Exception) -> bool:
    if isinstance(error, dist.DistError | ConnectionError):
        return dist.is_initialized()
    return dist.is_initialized() and "gloo" in str(error)
