"""Checkpoints of tensors and plain containers only, so that torch's safe loader reads them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer

from ...checkpoints.recipe import IMPORTS, RECIPE
from ...custom_imports import imported_names
from ..resume import data_of
from ..train_loop import EpochBasedTrainLoop

_HISTORY = "detr_kit.history"


class PlainCheckpointHook(Hook):
    """Turns mmengine's log history into tensors before saving and back after loading, and adds what tells
    the network (the recipe) and where the run stands.

    mmengine pickles HistoryBuffer objects, which need `getattr` on the safe loader's allow-list; with that
    on the list a stranger's file could do what it likes.
    """

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Make the message hub's part plain."""
        checkpoint["message_hub"] = to_plain(checkpoint["message_hub"])
        meta = checkpoint["meta"]
        meta[RECIPE] = _recipe(runner.cfg)
        meta["data"] = data_of(runner.train_dataloader.dataset)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            meta.update(runner.train_loop.progress(meta["epoch"], meta["iter"]).to_meta())

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Give the message hub its objects back."""
        checkpoint["message_hub"] = from_plain(checkpoint["message_hub"])


def _recipe(config: Config) -> dict[str, Any]:
    """The network, postprocessor and test transforms: with them a checkpoint needs no config beside it.

    Modules with parts of a user's own are named, for the message; they travel with the config, not with this.
    """
    plain = config.to_dict()
    model, loader = plain["model"], plain.get("test_dataloader") or {}
    recipe = {part: model[part] for part in ("network", "postprocessor")}
    transforms = (loader.get("dataset") or {}).get("transforms") or []
    return {**recipe, "transforms": transforms, IMPORTS: imported_names(plain) or []}


def to_plain(value: Any) -> Any:
    """HistoryBuffer and numpy values -> tensors and numbers, in nested containers."""
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {_HISTORY: torch.tensor(np.stack([values, counts]), dtype=torch.float64)}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: to_plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(part) for part in value)
    return value


def from_plain(value: Any) -> Any:
    """What `to_plain` made of a HistoryBuffer -> a HistoryBuffer."""
    if isinstance(value, dict):
        if set(value) == {_HISTORY}:
            values, counts = value[_HISTORY].tolist()
            return HistoryBuffer(values, counts)
        return {key: from_plain(part) for key, part in value.items()}
    return value
