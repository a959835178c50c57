"""Plain functions that are told of every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from .results import rows_of

Callback = Callable[[dict[str, Any]], object]
"""Called with an epoch's line of results.csv: epoch, seconds, lr, the mean losses, AP, AP50, …."""


class CallbackHook(Hook):
    """Calls functions when an epoch is over: trained, validated where that was due, and saved.

    In a run of several processes the first one calls them. What a function raises ends the run, which can be
    resumed.

    Args:
        callbacks: functions of one argument, see `Callback`; called in order.
    """

    priority = "LOWEST"  # after results.csv and the checkpoint are written

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = tuple(callbacks)
        self._told = 0

    def before_train(self, runner: Any) -> None:
        """What a resumed run did before was told then."""
        self._told = runner.epoch

    def before_train_epoch(self, runner: Any) -> None:
        """Tell of the epoch before."""
        self._tell(rows_of(runner))

    def after_train(self, runner: Any) -> None:
        """Tell of the last one."""
        self._tell(rows_of(runner))

    def _tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            if row["epoch"] > self._told:
                self._told = row["epoch"]
                for callback in self.callbacks if is_main_process() else ():
                    callback(dict(row))
