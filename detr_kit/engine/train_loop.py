"""Training by epochs that can stop at any batch and go on there."""

from __future__ import annotations

from typing import Any

from mmengine.runner import EpochBasedTrainLoop as MMEngineEpochBasedTrainLoop
from torch import nn

from ..registry import LOOPS
from .epoch_progress import EpochProgress
from .steady_batches import SteadyBatches


@LOOPS.register_module()
class EpochBasedTrainLoop(MMEngineEpochBasedTrainLoop):
    """mmengine's loop, and: resuming within an epoch, validating what was due, restarting dead workers.

    `iter` is always epoch x length of an epoch + batches done in it. Where a resumed run has epochs of
    another length it counts as if all its epochs had been of that length.

    Args:
        max_worker_restarts: data workers that may die in a run before it stops; 0 stops at the first.
        kwargs: of mmengine's loop: max_epochs, val_interval, val_begin, ….

    Attributes:
        stop_training: set it to end the run after the current step.
    """

    _iter: int

    def __init__(self, runner: Any, dataloader: Any, max_worker_restarts: int = 3, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        runner.worker_restarts.limit = max_worker_restarts
        self._batches = SteadyBatches(self.dataloader, "train_dataloader", runner.worker_restarts)

    def run(self) -> nn.Module:
        """Train to the last epoch, or until `stop_training` is set."""
        runner = self.runner
        runner.call_hook("before_train")
        if self._epoch > 0 and runner.message_hub.runtime_info.get("validated_epoch", 0) < self._epoch:
            self._validate_if_due()  # the run was cut off between saving and validating
        if self._epoch >= self._max_epochs:
            runner.logger.warning(
                f"this run is finished, nothing is trained: {self._epoch} epochs are done and "
                f"train_cfg.max_epochs is {self._max_epochs}. To train more give a larger number: --epochs N "
                "with --data, or --cfg-options train_cfg.max_epochs=N"
            )
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            if not self.stop_training:
                self._validate_if_due()
        runner.call_hook("after_train")
        return runner.model

    def progress(self, epoch: int, iteration: int) -> EpochProgress:
        """The place of a checkpoint that is written after so many whole epochs and iterations."""
        length = len(self.dataloader)
        return EpochProgress(iteration - epoch * length, length)

    def go_on_from(self, saved: EpochProgress | None) -> None:
        """Take up the place of a checkpoint, whose epoch and iteration are set already."""
        length = len(self.dataloader)
        done = self._iter - self._epoch * length
        if saved is not None:
            within = saved.in_epoch_of(length)
            was = f"{saved.done} of {saved.length} batches"
        else:
            within = done if 0 <= done <= length else None
            was = f"{self._iter} iterations"
        if within is None:
            self.runner.logger.warning(
                f"the checkpoint was written within epoch {self._epoch + 1}, after {was}, and an epoch has "
                f"{length} now: the batch size, the number of processes or the data changed. The epoch "
                "starts anew"
            )
        self._iter = self._epoch * length + (within or 0)

    def run_epoch(self) -> None:
        """The batches of one epoch that are not behind us yet."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        length = len(self.dataloader)
        done = self._iter - self._epoch * length
        self.runner.optim_wrapper.begin_epoch(done, length)
        for index, batch in enumerate(self._batches.from_batch(done), start=done):
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
            self.runner.val_loop.run()
