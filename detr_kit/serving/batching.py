"""One thread that runs the network, and the queue before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(eq=False)
class _Job:
    key: Hashable
    item: Any
    run: Callable[[list[Any]], Sequence[Any]]
    future: Future = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class BatchingQueue(Generic[Item]):
    """Runs items in one thread, first come first served, equal keys together.

    The oldest item chooses the key of the next batch, so none waits for ever. It waits for company only while
    nothing else is to be done. The queue itself has no bound: whoever submits counts.

    Args:
        run: a batch of items of one key -> their results, in order.
        max_batch: items that run together.
        max_wait: seconds that an item waits for others of its key.
    """

    def __init__(self, run: Callable[[list[Item]], Sequence[Any]], max_batch: int, max_wait: float) -> None:
        self._run, self.max_batch, self.max_wait = run, max_batch, max_wait
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="detr-kit model", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(self, item: Item, key: Hashable) -> Future:
        """Queue an item; its future gives the result or the error of its run. Cancelling forgets it."""
        return self._submit(_Job(key, item, self._run))

    def submit_alone(self, function: Callable[[], Any]) -> Future:
        """Queue a function to be called in the same thread, in its turn and on its own."""
        return self._submit(_Job(object(), None, lambda _: [function()]))

    def close(self) -> None:
        """Finish what is queued, then end the thread. Nothing can be submitted afterwards."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _submit(self, job: _Job) -> Future:
        with self._changed:
            if self._closed:
                raise RuntimeError("the queue is closed")
            # Those that were given up hold their images no longer than this.
            self._jobs = [other for other in self._jobs if not other.future.cancelled()]
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def _loop(self) -> None:
        while batch := self._next_batch():
            running = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if running:
                _finish(running)

    def _next_batch(self) -> list[_Job]:
        """The next jobs to run, waited for; none when all is done and the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            first = self._jobs[0]

            def complete() -> bool:
                equal = sum(job.key == first.key for job in self._jobs)
                return self._closed or equal >= self.max_batch or equal < len(self._jobs)

            self._changed.wait_for(complete, timeout=first.arrived + self.max_wait - time.monotonic())
            # The first may have been given up meanwhile.
            batch = [job for job in self._jobs if job.key == first.key][: self.max_batch] or [first]
            self._jobs = [job for job in self._jobs if job not in batch]
            return batch


def _finish(jobs: list[_Job]) -> None:
    """Run jobs of one key. Where a batch fails each runs alone, so that one bad item spoils no other."""
    try:
        results = jobs[0].run([job.item for job in jobs])
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
        else:
            for job in jobs:
                _finish([job])
