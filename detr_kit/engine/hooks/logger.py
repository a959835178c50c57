"""A log that shows how an epoch goes, however short it is."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import LoggerHook as MMEngineLoggerHook

from ...registry import HOOKS

_POINTS = 10  # of an epoch


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """mmengine's, with at least ten lines for an epoch that has so many batches.

    Args:
        interval: batches between two lines, where epochs are long enough.
        kwargs: of mmengine's hook.
    """

    interval: int

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Log where the shorter of the two intervals says so."""
        given = self.interval
        self.interval = max(1, min(given, len(runner.train_dataloader) // _POINTS))
        super().after_train_iter(runner, *args, **kwargs)
        self.interval = given
