"""How far a run is, in one line an epoch."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a bar of text, and that is fine
    from tqdm.auto import tqdm


class ProgressBarHook(Hook):
    """A bar for each epoch in the place of log lines, as notebooks want it; the log file has the lines."""

    priority = "LOWEST"  # after the figures are there

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._validation: tqdm | None = None

    def before_train(self, runner: Any) -> None:
        """Warnings are still to be seen."""
        for handler in runner.logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.WARNING)

    def before_train_epoch(self, runner: Any) -> None:
        """A new bar; a run that goes on within an epoch begins there."""
        self._close()
        length = len(runner.train_dataloader)
        self._bar = tqdm(
            desc=f"epoch {runner.epoch + 1}/{runner.max_epochs}",
            total=length,
            initial=runner.iter - runner.epoch * length,
            unit="batch",
            disable=not is_main_process(),
        )

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """One batch further."""
        if self._bar is not None:
            self._bar.set_postfix(loss=self._loss(runner), refresh=False)
            self._bar.update()

    def before_val_epoch(self, runner: Any) -> None:
        """A bar that goes when validation is over."""
        if self._bar is not None:
            length = len(runner.val_dataloader)
            off = not is_main_process()
            self._validation = tqdm(desc="validation", total=length, unit="batch", leave=False, disable=off)

    def after_val_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """One batch further."""
        if self._validation is not None:
            self._validation.update()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """What was measured stands behind the epoch's bar."""
        if self._bar is not None:
            found = metrics or {}
            figures = {n: f"{found[f'coco/{n}']:.3f}" for n in ("AP", "AP50") if f"coco/{n}" in found}
            self._bar.set_postfix(loss=self._loss(runner), **figures)
        self._close()

    def after_train(self, runner: Any) -> None:
        """The last bar stays as it is."""
        self._close()

    def _loss(self, runner: Any) -> str:
        return f"{runner.message_hub.get_scalar('train/loss').current():.3g}"

    def _close(self) -> None:
        for bar in (self._validation, self._bar):
            if bar is not None:
                bar.close()
        self._bar = self._validation = None
