"""Batches of a data loader whose workers may die."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from typing import Any

from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from ..errors import InputError


class WorkerRestarts:
    """Counts the data workers that died in a run, training and validation together.

    Args:
        limit: how many may; 0 stops at the first.
    """

    def __init__(self, limit: int = 3) -> None:
        self.limit, self.count = limit, 0

    def add(self, error: Exception, loader: str) -> None:
        """One more, of the loader that the config calls so.

        Raises:
            InputError: that was one too many.
        """
        self.count += 1
        if self.count > self.limit:
            raise InputError(
                f"a data-loading process died ({error}), {self.count} time(s) in this run; often it lacked "
                f"memory: lower {loader}.num_workers or batch_size and go on with --resume"
            ) from error
        MMLogger.get_current_instance().warning(
            f"a data-loading process died ({error}); the workers are started again "
            f"({self.count} of {self.limit} times), no image is lost"
        )


class SteadyBatches:
    """A data loader, and: where a worker dies the workers are started again and its batch is read once more.

    Only the data is read again. Whatever is under way around it, as weights swapped for validation or results
    gathered so far, stays as it is.

    Args:
        dataloader: what it has, this has too.
        name: what the config calls it, as train_dataloader.
        restarts: of the run.
    """

    def __init__(self, dataloader: DataLoader, name: str, restarts: WorkerRestarts) -> None:
        self._dataloader, self._name, self._restarts = dataloader, name, restarts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataloader, name)

    def __len__(self) -> int:
        return len(self._dataloader)

    def __iter__(self) -> Iterator[Any]:
        return self.from_batch(0)

    def from_batch(self, done: int) -> Iterator[Any]:
        """The batches behind the first `done`."""
        while True:
            try:
                for batch in self._open(done):
                    yield batch
                    done += 1
                return
            except (RuntimeError, ConnectionError, EOFError) as error:
                if not _tells_of_a_death(error):
                    raise
                self._restarts.add(error, self._name)
                self._dataloader._iterator = None  # the workers that are left belong to the broken one

    def _open(self, done: int) -> Iterator[Any]:
        batch_sampler: Any = self._dataloader.batch_sampler
        if hasattr(batch_sampler, "skip"):
            batch_sampler.skip = done
        loaded = iter(self._dataloader)
        # torch lets the death of a worker raise an error wherever the program happens to be, be it half-way
        # through a step or a file. Without its handler the death shows where the worker's batch is asked for.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if hasattr(batch_sampler, "skip"):
            return loaded
        # A sampler of someone else's: its first batches are read and put aside.
        return itertools.islice(loaded, done, None)


def end_workers(loader: DataLoader | SteadyBatches) -> None:
    """End the processes that a loader keeps for its next epoch; a next one would start new ones.

    Where they are left to garbage collection, their queues may be gone before they are told to: torch then
    waits ten seconds for each loader, and its workers stay.
    """
    dataloader: Any = loader._dataloader if isinstance(loader, SteadyBatches) else loader
    if dataloader._iterator is not None:
        dataloader._iterator._shutdown_workers()
        dataloader._iterator = None


def _tells_of_a_death(error: Exception) -> bool:
    """Whether torch noticed that a worker is gone, or the pipe to it broke while it handed over a batch.

    What a worker itself raises arrives as "Caught … in DataLoader worker".
    """
    if isinstance(error, RuntimeError):
        return str(error).startswith(("DataLoader worker", "Pin memory thread"))
    return not str(error).startswith("Caught")
