"""Ends a run that has stopped getting better, also across interruptions."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook

from ...registry import HOOKS


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """mmengine's, whose patience a resumed run remembers.

    Args:
        monitor: the metric, as coco/AP.
        kwargs: of mmengine's hook: rule, patience (validations), min_delta, stopping_threshold, ….
    """

    priority = "LOW"  # before the checkpoint of the same validation, which is to hold the new count

    def __init__(self, monitor: str = "coco/AP", rule: str | None = "greater", **kwargs: Any) -> None:
        super().__init__(monitor=monitor, rule=rule, **kwargs)

    def before_train(self, runner: Any) -> None:
        """Take up the count of the checkpoint."""
        saved = runner.message_hub.runtime_info.get("early_stopping")
        if saved:
            self.best_score, self.wait_count = saved["best_score"], saved["wait_count"]
        if self.wait_count >= self.patience:
            runner.train_loop.stop_training = True
            runner.logger.warning(
                f"this run has stopped early, nothing is trained: {self.wait_count} validations without a "
                f"better {self.monitor} than {self.best_score:.4f}; a larger --early-stop N goes on"
            )

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Count, and leave the count where checkpoints take it from."""
        super().after_val_epoch(runner, metrics)
        state = dict(best_score=float(self.best_score), wait_count=self.wait_count)
        runner.message_hub.update_info("early_stopping", state)
