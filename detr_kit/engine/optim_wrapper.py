"""Optimiser wrappers: a step is taken with finite gradients or not at all; mixed precision on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper as MMEngineOptimWrapper
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from ..registry import OPTIM_WRAPPERS
from .sharding import whole


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(MMEngineOptimWrapper):
    """mmengine's, and: steps whose loss or gradients are not finite are left out and counted.

    Gradients are looked at after they were averaged over the processes, so all leave out the same steps.

    Args:
        optimizer: a torch optimizer.
        accumulative_counts: batches whose gradients make one step.
        clip_grad: max_norm (and norm_type), or type="value" with clip_value; None does not clip.
        max_skipped_steps: so many left out one after the other stop the run; see NumericalHealthHook.

    Attributes:
        skipped_steps: steps left out; skipped_in_a_row: since the last one taken.
        has_stepped: whether the last batch ended with a step that was taken.
        bad_parameters: those whose gradients were not finite at the last step, if it was left out.
        without_gradient: those that took no part in the loss of the last step.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        max_skipped_steps: int = 5,
    ) -> None:
        super().__init__(optimizer, accumulative_counts, clip_grad)
        self.max_skipped_steps = max_skipped_steps
        self.skipped_steps = self.skipped_in_a_row = 0
        self.has_stepped = False
        self.bad_parameters: list[nn.Parameter] = []
        self.without_gradient: list[nn.Parameter] = []

    @property
    def accumulative_counts(self) -> int:
        """Batches whose gradients make one step."""
        return self._accumulative_counts

    def begin_epoch(self, done: int, length: int) -> None:
        """Accumulate within epochs: what is left at the end of one makes a smaller step.

        Args:
            done: batches of the epoch that are behind us; length: batches of the epoch.
        """
        self._inner_count, self._max_counts = done, length
        self._remainder_counts = length % self._accumulative_counts

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back-propagate; where the loss is not finite no gradient is either, in any process."""
        self.has_stepped = False
        self._scaled(loss * torch.where(loss.isfinite(), 1.0, torch.nan)).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clip and step, or leave the step out."""
        self.bad_parameters = self._clip_or_find_bad()
        if not self.bad_parameters:
            self.optimizer.step(**kwargs)
        self._count()

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss

    def _count(self) -> None:
        """Of the step that was just taken, or left out for its bad parameters."""
        self.has_stepped = not self.bad_parameters
        self.skipped_steps += not self.has_stepped
        self.skipped_in_a_row = 0 if self.has_stepped else self.skipped_in_a_row + 1

    def _clip_or_find_bad(self) -> list[nn.Parameter]:
        """Clip finite gradients; otherwise the parameters whose gradients are not."""
        trained = [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]
        self.without_gradient = [p for p in trained if p.grad is None]
        parameters = [p for p in trained if p.grad is not None]
        options = dict(self.clip_grad_kwargs or {})
        norm_type = float(options.get("norm_type", 2.0))
        norm = whole(get_total_norm([p.grad for p in parameters], norm_type))
        if not norm.isfinite():
            return [p for p in parameters if not whole(p.grad).isfinite().all()] or parameters
        self.message_hub.update_scalar("train/grad_norm", float(norm))
        if "max_norm" in options:
            clip_grads_with_norm_(parameters, options["max_norm"], norm, options.get("foreach"))
        elif "clip_value" in options:
            clip_grad_value_(parameters, options["clip_value"], options.get("foreach"))
        return []


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(OptimWrapper):
    """Mixed precision: bfloat16 on any device, float16 with loss scaling.

    mmengine's own runs on accelerators only.

    Args:
        dtype: "bfloat16" or "float16".
        kwargs: of OptimWrapper.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        dtype: str = "bfloat16",
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        max_skipped_steps: int = 5,
    ) -> None:
        super().__init__(optimizer, accumulative_counts, clip_grad, max_skipped_steps)
        if dtype not in ("bfloat16", "float16"):
            raise ValueError(f'AmpOptimWrapper: dtype={dtype!r}, not "bfloat16" or "float16"')
        self.dtype = getattr(torch, dtype)
        self.device_type = self.optimizer.param_groups[0]["params"][0].device.type
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=self.dtype is torch.float16)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass."""
        with super().optim_context(model), torch.autocast(self.device_type, self.dtype):
            yield

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.scaler.scale(loss)

    def step(self, **kwargs: Any) -> None:
        """Unscale, clip, step.

        Overflown float16 gradients lower the scale and the step is left out, which is how the scale is found.
        Such steps count as skipped only when there is no scale left to lower.
        """
        if not self.scaler.is_enabled():
            super().step(**kwargs)
            return
        self.scaler.unscale_(self.optimizer)
        self.bad_parameters = self._clip_or_find_bad()
        scale = self.scaler.get_scale()
        if not self.bad_parameters:
            self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()
        if self.bad_parameters and scale > 1 and self.scaler.get_scale() < scale:
            self.bad_parameters = []
            return
        self._count()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the scaler's."""
        return {**super().state_dict(), "loss_scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume; a checkpoint written without mixed precision is fine."""
        scaler = state_dict.pop("loss_scaler", None)
        if scaler:
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state_dict)
