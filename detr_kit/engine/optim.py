"""Parameter groups for the optimiser: as few as there are settings."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..errors import InputError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's `paramwise_cfg`, with parameters of equal settings in one group.

    One group a parameter, as mmengine has it, keeps AdamW from updating many tensors at once. The group
    with the largest learning rate comes first: it is the one the log shows.

    `paramwise_cfg` has one setting more: `layer_decay`, by which the learning rate shrinks with every layer
    of the backbone from its last down to its stem (Bao et al. 2022, BEiT, appendix). The backbone says by
    `parameter_layers()` -> {parameter: layer} what its layers are.
    """

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = "", is_dcn_module: Any = None
    ) -> None:
        """Collect the groups of a module; the outermost call merges them."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        decay = self.paramwise_cfg.get("layer_decay")
        if decay is not None:
            scales = _layer_scales(module, float(decay))
            for group in params:
                scale = scales.get(id(group["params"][0]), 1.0)
                if scale != 1:
                    group["lr"] = float(group.get("lr", self.base_lr) or 0) * scale
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


def _layer_scales(module: nn.Module, decay: float) -> dict[int, float]:
    """What learning rates are multiplied by, by the parameters' ids; those of no layer are left out."""
    if not 0 < decay <= 1:
        raise InputError(f"paramwise_cfg: layer_decay={decay}; it must be above 0 and at most 1")
    layered: list[Any] = [part for part in module.modules() if hasattr(part, "parameter_layers")]
    if not layered:
        raise InputError(
            "paramwise_cfg: layer_decay is for a backbone that says what its layers are, as the shipped "
            "ones do by parameter_layers(); leave it out"
        )
    scales: dict[int, float] = {}
    for part in layered:
        layers: dict[str, int] = part.parameter_layers()
        last = max(layers.values())
        named = dict(part.named_parameters())
        scales |= {
            id(named[name]): decay ** (last + 1 - layer) for name, layer in layers.items() if name in named
        }
    return scales
