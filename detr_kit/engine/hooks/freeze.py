"""A part of the network that is trained only from an epoch on."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from torch import nn

from ...errors import InputError
from ...registry import HOOKS
from ..trainable_detector import unwrap


@HOOKS.register_module()
class FreezeHook(Hook):
    """Leaves a part of the model as it is in the first epochs, batch statistics included.

    It costs neither gradients nor steps meanwhile. Parameters that the model itself has frozen stay so.

    Args:
        module: path of the part in the model, as "network.backbone".
        until_epoch: the first epoch that trains it, counted from 0.

    Raises:
        InputError: no such part; or several processes without `find_unused_parameters`.
    """

    priority = "VERY_HIGH"  # before the optimiser is asked for anything

    def __init__(self, module: str, until_epoch: int) -> None:
        self.module, self.until_epoch = module, until_epoch

    def before_train(self, runner: Any) -> None:
        """Find the part and what of it is trained later."""
        try:
            self._part: nn.Module = unwrap(runner.model).get_submodule(self.module)
        except AttributeError as error:
            raise InputError(f"FreezeHook: the model has no {self.module!r} ({error})") from error
        if get_world_size() > 1 and not runner.cfg.get("find_unused_parameters", False):
            raise InputError(
                f"FreezeHook: {self.module} gets no gradients in the first epochs, for which processes "
                "would wait; set find_unused_parameters = True in the config"
            )
        self._trained = [p for p in self._part.parameters() if p.requires_grad]

    def before_train_epoch(self, runner: Any) -> None:
        """Freeze it, or let it go."""
        frozen = runner.epoch < self.until_epoch
        for parameter in self._trained:
            parameter.requires_grad_(not frozen)
        if runner.epoch == self.until_epoch and self.until_epoch > 0:
            runner.logger.info(f"{self.module} is trained from now on")

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Statistics stay too; every epoch and every validation sets the whole model to training mode."""
        if runner.epoch < self.until_epoch and self._part.training:
            self._part.eval()
