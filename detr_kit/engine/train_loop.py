"""Training by epochs that can stop at any batch and go on there."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from typing import Any

from mmengine.runner import EpochBasedTrainLoop as MMEngineEpochBasedTrainLoop
from torch import nn

from ..errors import InputError
from ..registry import LOOPS


@LOOPS.register_module()
class EpochBasedTrainLoop(MMEngineEpochBasedTrainLoop):
    """mmengine's loop, and: resuming within an epoch, validating what was due, restarting dead workers.

    Args:
        max_worker_restarts: data workers that may die in a run before it stops; 0 stops at the first.
        kwargs: of mmengine's loop: max_epochs, val_interval, val_begin, ….

    Attributes:
        stop_training: set it to end the run after the current step.
    """

    _iter: int

    def __init__(self, runner: Any, dataloader: Any, max_worker_restarts: int = 3, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.max_worker_restarts, self.worker_restarts = max_worker_restarts, 0

    def run(self) -> nn.Module:
        """Train to the last epoch, or until `stop_training` is set."""
        runner = self.runner
        runner.call_hook("before_train")
        if self._epoch > 0 and runner.message_hub.runtime_info.get("validated_epoch", 0) < self._epoch:
            self._validate_if_due()  # the run was cut off between saving and validating
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            if not self.stop_training:
                self._validate_if_due()
        runner.call_hook("after_train")
        return runner.model

    def run_epoch(self) -> None:
        """The batches of one epoch that are not behind us yet."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        length = len(self.dataloader)
        done = self._iter - self._epoch * length
        if not 0 <= done <= length:
            self.runner.logger.warning(
                f"the checkpoint was written after {self._iter} iterations, which is not within epoch "
                f"{self._epoch + 1} of {length}: the batch size or the data changed. The epoch starts anew"
            )
            done = 0
            self._iter = self._epoch * length
        self.runner.optim_wrapper.begin_epoch(done, length)
        for index, batch in self._batches(done):
            self.run_iter(index, batch)
            if self.stop_training:
                break
        if self._iter == (self._epoch + 1) * length and not self.stop_training:
            self.runner.call_hook("after_train_epoch")
            self._epoch += 1

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.runner.message_hub.update_info("validated_epoch", self._epoch)
            self._validate()

    def _validate(self) -> None:
        """From the first image again where a worker died on the way."""
        loop = self.runner.val_loop
        while True:
            try:
                loop.run()
                return
            except (RuntimeError, ConnectionError, EOFError) as error:
                if not _tells_of_a_death(error):
                    raise
                self._worker_died(error, loop.dataloader)
                for metric in loop.evaluator.metrics:
                    metric.results.clear()

    def _batches(self, done: int) -> Iterator[tuple[int, Any]]:
        """The epoch from batch `done` on; after a worker died again from the batch that is missing."""
        while True:
            try:
                loaded = self._open(done)
            except RuntimeError as error:  # workers kept from the epoch before may have died meanwhile
                if not _tells_of_a_death(error):
                    raise
                self._worker_died(error, self.dataloader)
                continue
            while True:
                try:
                    batch = next(loaded)
                except StopIteration:
                    return
                except (RuntimeError, ConnectionError, EOFError) as error:
                    if not _tells_of_a_death(error):
                        raise
                    self._worker_died(error, self.dataloader)
                    break
                yield done, batch
                done += 1

    def _open(self, done: int) -> Iterator[Any]:
        """An iterator over the data that begins with batch `done`."""
        batch_sampler = self.dataloader.batch_sampler
        if hasattr(batch_sampler, "skip"):
            batch_sampler.skip = done
        loaded = iter(self.dataloader)
        # torch lets the death of a worker raise an error wherever the program happens to be, be it half-way
        # through a step or a file. Without its handler the death shows where the worker's batch is asked for.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if hasattr(batch_sampler, "skip"):
            return loaded
        # A sampler of someone else's: its first batches are read and put aside.
        return itertools.islice(loaded, done, None)

    def _worker_died(self, error: Exception, dataloader: Any) -> None:
        self.worker_restarts += 1
        if self.worker_restarts > self.max_worker_restarts:
            raise InputError(
                f"a data-loading process died ({error}), {self.worker_restarts} time(s) in this run; often "
                "it lacked memory: lower train_dataloader.num_workers or batch_size and go on with --resume"
            ) from error
        dataloader._iterator = None  # the workers that are left belong to the broken one
        self.runner.logger.warning(
            f"a data-loading process died ({error}); the workers are started again "
            f"({self.worker_restarts} of {self.max_worker_restarts} times), no image is lost"
        )


def _tells_of_a_death(error: Exception) -> bool:
    """Whether torch noticed that a worker is gone, or the pipe to it broke while it handed over a batch.

    What a worker itself raises arrives as "Caught … in DataLoader worker".
    """
    if isinstance(error, RuntimeError):
        return str(error).startswith(("DataLoader worker", "Pin memory thread"))
    return not str(error).startswith("Caught")
