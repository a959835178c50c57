"""Labels that mean the same in training and in validation."""

from __future__ import annotations

from typing import Any

from ..categories import Categories
from ..errors import InputError


def match_classes(loop: Any, learned: Categories | None, of: str) -> None:
    """Have a validation or test loop number its classes as the network has learned them, by their names.

    Args:
        loop: its data set and its metrics are told.
        learned: None where a checkpoint does not say.
        of: what they belong to, for the message.

    Raises:
        InputError: the set has objects of another class, or cannot be renumbered.
    """
    dataset = loop.dataloader.dataset
    own = getattr(dataset, "categories", None)
    if learned is None or own is None or learned.names == own.names:
        return
    if not hasattr(dataset, "match_categories"):
        raise InputError(
            f"{of} numbers its classes as {learned.names}, the set to measure on as {own.names}; give both "
            "the same categories in the same order"
        )
    dataset.match_categories(learned, of)
    loop.evaluator.dataset_meta = dataset.metainfo
