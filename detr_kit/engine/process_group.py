"""The processes of a run meet here before it and part here after it, whatever way it ends."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

# Default arguments of this module keep the group that exists when it is first imported, and with it the
# group's threads: it has to be imported while there is none.
import torch.distributed.nn.functional
from mmengine.logging import print_log

from ..errors import InputError
from .roll_call import leave, missing


@contextmanager
def process_group(launcher: str, timeout: float | None = None) -> Iterator[None]:
    """Close the group of processes that is made inside, on every way out.

    After the work is done the processes wait for each other, as long as the group's own time-out allows: the
    first may still be writing a checkpoint, and a launcher stops the others when one is gone. After an error
    nobody is waited for, since the others may be gone or stuck. A group that was there before is its maker's.

    Args:
        launcher: "none", "pytorch" or "slurm".
        timeout: seconds that a process may be waited for; by default torch's, half an hour.

    Raises:
        InputError: another process was lost in the middle of the work, or did not come in time: which one;
            or torchrun could not start processes again.
    """
    if dist.is_initialized():
        yield
        return
    _check_restarts(launcher)
    _start_without_gpu(launcher, timeout)
    try:
        yield
        _wait_for_the_others()
    except (RuntimeError, ConnectionError) as error:
        if not _tells_of_a_lost_process(error):
            leave(_line(error))
            raise
        leave("")  # this one is not at fault
        raise InputError(_lost(error)) from error
    except BaseException as error:
        leave(_line(error))
        raise
    finally:
        if dist.is_initialized():
            # A thread of the group that still runs when the interpreter ends may abort the process. Whatever
            # holds the group keeps its threads, so what is left of the run in reference cycles goes too.
            gc.collect()
            dist.destroy_process_group()
            gc.collect()


def _check_restarts(launcher: str) -> None:
    """torchrun's own store keeps the addresses of processes that are gone (pytorch/pytorch#135712)."""
    allowed = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    if launcher == "pytorch" and allowed and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise InputError(
            f"torchrun --max-restarts {allowed}: processes that torchrun starts again would look for "
            "those that are gone. Start it with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in "
            "the environment, and with --standalone or --rdzv-backend c10d"
        )


def _start_without_gpu(launcher: str, timeout: float | None) -> None:
    """mmengine's launchers ask for a GPU whatever the backend; on a CPU the group is made here."""
    if launcher == "pytorch" and not torch.cuda.is_available():
        dist.init_process_group("gloo", timeout=None if timeout is None else timedelta(seconds=timeout))


def _wait_for_the_others() -> None:
    """What this process had to do is done: if another fails now, its own exit code says so."""
    if not dist.is_initialized():
        return
    try:
        dist.barrier()
    except (RuntimeError, ConnectionError) as error:
        text = f"another process did not end as it should ({_line(error)}): {missing()}"
        print_log(text, "current", logging.WARNING)


def _tells_of_a_lost_process(error: Exception) -> bool:
    if isinstance(error, dist.DistError | ConnectionError):
        return dist.is_initialized()
    return dist.is_initialized() and "gloo" in str(error)


def _lost(error: Exception) -> str:
    """Which process is missing, and what to do."""
    if "timed out" in str(error).lower():
        return (
            f"rank {dist.get_rank()} waited in vain ({_line(error)}): {missing()}. Where it is slow "
            "rather than stuck, give more time: env_cfg.dist_cfg.timeout=SECONDS. The checkpoints that are "
            "there are whole: go on with --resume"
        )
    return (
        f"the connection to another process of this run was lost ({_line(error)}): {missing()}. Its own "
        "output or the system's log says why. The checkpoints that are there are whole: go on with --resume"
    )


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
