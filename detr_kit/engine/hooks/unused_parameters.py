"""Says which parameters took no part in the loss, before processes wait for their gradients in vain."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from ...errors import InputError
from ..trainable_detector import unwrap


class UnusedParametersHook(Hook):
    """Looks at the first step of a run."""

    def before_train(self, runner: Any) -> None:
        """Each run looks once."""
        self.has_looked = False

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Several processes cannot go on without `find_unused_parameters`; one can, and warns."""
        if self.has_looked or not runner.optim_wrapper.should_update():
            return
        self.has_looked = True
        unused = {id(parameter) for parameter in runner.optim_wrapper.without_gradient}
        names = [
            name for name, parameter in unwrap(runner.model).named_parameters() if id(parameter) in unused
        ]
        if not names:
            return
        what = f"parameters took no part in the loss: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        if get_world_size() > 1 and not runner.cfg.get("find_unused_parameters", False):
            raise InputError(f"{what}; set find_unused_parameters=True, or freeze or remove them")
        runner.logger.warning(f"{what}; they stay as they are")
