"""Parameter groups for the optimiser: as few as there are settings."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS


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
