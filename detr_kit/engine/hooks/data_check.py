"""Says what data a run uses, and stops before the first step where it cannot be learned from."""

from __future__ import annotations

from typing import Any, cast

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from torch.utils.data import DataLoader

from ...categories import Categories
from ...check import ERROR, WARNING, check_data
from ...data.annotation_table import MAX_LEFT_OUT
from ...errors import InputError
from ..class_matching import match_classes
from ..config_data import splits_of_config
from ..trainable_detector import unwrap

# Pictures of each split that are read before training: all up to so many, a sample of larger splits.
_ALL, _SAMPLE = 5000, 500
# Faults that CocoDataset(unreadable="skip") lives with.
_SKIPPED = {"images-unreadable", "images-truncated"}


class DataCheckHook(Hook):
    """Compares each data set's classes with the network's, training with validation, and looks for faults.

    The last is the short form of `detr-kit check`: all annotations, whether the pictures are there, and all
    of them read, or a sample of many. Warnings are logged and errors stop the run, unless the config says
    `data_check = False`; with "strict" a single annotation that cannot be used is an error.
    """

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
        if runner.val_loop is not None:
            match_classes(runner.val_loop, train, "the training set")
            _check(runner, runner.val_loop.dataloader, "val")
        if runner.cfg.get("data_check", True):
            _look_for_faults(runner)

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


def _look_for_faults(runner: Any) -> None:
    """On one process; all of them stop with its message, so that none waits for the others."""
    message = [""]
    if is_main_process():
        try:
            message = [_faults(runner)]
        except InputError as error:
            message = [str(error)]
    broadcast_object_list(message)
    if message[0]:
        raise InputError(message[0])


def _faults(runner: Any) -> str:
    """The errors in one message, "" where there is none; warnings go to the log."""
    splits = [split for split in splits_of_config(runner.cfg) if split.name in ("train", "val")]
    num_queries = runner.cfg.model.network.get("num_queries")
    strict = runner.cfg.get("data_check") == "strict"
    report = check_data(
        splits,
        num_queries=num_queries,
        read_images=_ALL,
        beyond=_SAMPLE,
        progress=Console(stderr=True),
        max_left_out=0.0 if strict else MAX_LEFT_OUT,
    )
    skips = getattr(runner.train_dataloader.dataset, "unreadable", "stop") == "skip"
    errors, unreadable = [], False
    for split, found in report.findings():
        line = f"{split + ': ' if split else ''}{found.title}: {found.count}, as {found.examples[0]}"
        is_skipped = skips and split == "train" and found.name in _SKIPPED
        if found.verdict == ERROR and not is_skipped:
            errors.append(f"{line} ({found.remedy})")
            unreadable |= found.name in _SKIPPED
        elif is_skipped or found.verdict == WARNING:
            runner.logger.warning(line)
    if not errors:
        return ""
    skip = "; --skip-unreadable trains without the pictures that cannot be read" if unreadable else ""
    return (
        f"the data has faults that training cannot mend: {'; '.join(errors)}. `detr-kit check` shows "
        f"all of them{skip}; --cfg-options data_check=False trains all the same"
    )


def _batch_size(dataloader: DataLoader) -> int | None:
    """A loader with a batch sampler leaves its own batch_size unset."""
    return dataloader.batch_size or getattr(dataloader.batch_sampler, "batch_size", None)
