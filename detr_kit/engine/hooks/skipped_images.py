"""Counts the images that training had to do without."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from ...errors import InputError
from ...structures import ImageBatch

_MAX_SHARE = 0.1  # of the set; beyond that it is not a few bad files


class SkippedImagesHook(Hook):
    """Warns of each image that `CocoDataset(unreadable="skip")` replaced, and stops when they are many."""

    def before_train(self, runner: Any) -> None:
        """A resumed run knows those it has met."""
        self.messages: set[str] = set(runner.message_hub.runtime_info.get("skipped_images", ()))

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: ImageBatch | None = None, outputs: dict | None = None
    ) -> None:
        """Look at the batch that was just used."""
        for message in data_batch.skipped if data_batch else ():
            if message in self.messages:
                continue
            self.messages.add(message)
            runner.logger.warning(
                f"skipped, another image took its place ({len(self.messages)} so far): {message}"
            )
            runner.message_hub.update_info("skipped_images", sorted(self.messages))
        total = len(runner.train_dataloader.dataset)
        if len(self.messages) > max(1, _MAX_SHARE * total):
            raise InputError(
                f"{len(self.messages)} of {total} training images cannot be read, the last: {message}; "
                "correct the data set, then go on with --resume"
            )
