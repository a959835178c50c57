"""Weights that are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError


def check_finite(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse weights that hold NaN or infinity, as those of a run that diverged do: they find nothing.

    Raises:
        InputError: with the first such tensor and how many there are.
    """
    bad = [key for key, tensor in state.items() if not _is_finite(tensor)]
    if bad:
        raise InputError(
            f"checkpoint {path}: {len(bad)} of {len(state)} tensors hold NaN or infinity (first: {bad[0]}), "
            "as after a run that diverged; take an earlier checkpoint of it"
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # One pass without a copy; NaN passes through both.
    least, most = torch.aminmax(tensor if tensor.itemsize > 1 else tensor.float())
    return bool(torch.isfinite(least) & torch.isfinite(most))
