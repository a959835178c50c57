"""Says what data a run uses, and stops before the first step where it cannot fit the network."""

from __future__ import annotations

from typing import Any, cast

from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from ..categories import Categories
from ..errors import InputError
from .trainable_detector import unwrap


class DataCheckHook(Hook):
    """Compares each data set's classes with the network's, and training with validation."""

    def before_train(self, runner: Any) -> None:
        """Check the training set, and that validation means the same by its labels."""
        train = _check(runner, runner.train_dataloader, "train")
        dataset = runner.train_dataloader.dataset
        if len(runner.train_dataloader) == 0:
            raise InputError(
                f"train set: {len(dataset)} images do not fill a batch; lower train_dataloader.batch_size"
            )
        if getattr(dataset, "num_objects", 1) == 0:
            raise InputError(f"train set: {dataset}: no object to learn from")
        val_loop = runner.val_loop
        if val_loop is None:
            return
        val = _check(runner, val_loop.dataloader, "val")
        if train is not None and val is not None and train.names != val.names:
            raise InputError(
                "the training and the validation set number their classes differently: "
                f"{train.names} against {val.names}; give both files the same categories"
            )

    def before_test(self, runner: Any) -> None:
        """Check the test set."""
        _check(runner, runner.test_loop.dataloader, "test")


def _check(runner: Any, dataloader: DataLoader, split: str) -> Categories | None:
    dataset = dataloader.dataset
    categories = getattr(dataset, "categories", None)
    if categories is None:
        return None
    runner.logger.info(f"{split}: {dataset}, batches of {_batch_size(dataloader)}: {len(dataloader)}")
    num_classes = cast(int, unwrap(runner.model).network.num_classes)
    if len(categories) > num_classes:
        raise InputError(
            f"{split} set: {len(categories)} labels, but model.network.num_classes={num_classes}; "
            f"set model.network.num_classes={len(categories)}"
        )
    if len(categories) < num_classes:
        runner.logger.warning(
            f"{split} set: {len(categories)} labels for model.network.num_classes={num_classes}; the other "
            "outputs learn nothing. "
            f"For a model of these classes alone set model.network.num_classes={len(categories)}"
        )
    return categories


def _batch_size(dataloader: DataLoader) -> int | None:
    """A loader with a batch sampler leaves its own batch_size unset."""
    return dataloader.batch_size or getattr(dataloader.batch_sampler, "batch_size", None)
