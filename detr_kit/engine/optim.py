"""Optimiser wrappers: few parameter groups, and mixed precision on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import Tensor, nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's `paramwise_cfg`, with parameters of equal settings in one group.

    One group a parameter, as mmengine has it, keeps AdamW from updating many tensors at once. The group
    with the largest learning rate comes first: it is the one the log shows.
    """

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = "", is_dcn_module: Any = None
    ) -> None:
        """Collect the groups of a module; the outermost call merges them."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        merged: dict[tuple, dict[str, Any]] = {}
        for group in params:
            settings = {key: value for key, value in group.items() if key != "params"}
            trained = [p for p in group["params"] if p.requires_grad]
            if trained:
                key = tuple(sorted(settings.items()))
                merged.setdefault(key, {**settings, "params": []})["params"] += trained
        groups = list(merged.values())
        groups.sort(key=lambda group: float(group.get("lr", self.base_lr) or 0), reverse=True)
        params[:] = groups


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(OptimWrapper):
    """Mixed precision: bfloat16 on any device, float16 with loss scaling.

    mmengine's own runs on accelerators only.

    Args:
        dtype: "bfloat16" or "float16".
        kwargs: of OptimWrapper.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        super().__init__(**kwargs)
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

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back-propagate the scaled loss."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Unscale, clip, step; a step with overflown gradients is skipped and the scale lowered."""
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the scaler's."""
        return {**super().state_dict(), "loss_scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume; a checkpoint written without mixed precision is fine."""
        scaler = state_dict.pop("loss_scaler", None)
        if scaler:
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state_dict)
