"""Which layer of an exported file leaves the path of the network first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.layers.fuse import fuse
from .exported_detector import ExportedModel
from .layer_record import record_layers


@dataclass(frozen=True)
class LayerDrift:
    """How far one layer's output is off.

    Attributes:
        name: module path; `#2`, … where a shared layer runs again.
        error: ‖exported − network‖ / ‖network‖ over the layer's output.
    """

    name: str
    error: float


def layer_drifts(network: nn.Module, model: ExportedModel, inputs: tuple[Tensor, ...]) -> list[LayerDrift]:
    """The error of every layer that the file still knows, as they run; [] where none can be seen.

    Args:
        network: the float32 network behind the file.
        model: the file.
        inputs: of the file: images, and where it takes one the padding mask.
    """
    if model.layers is None:
        return []
    folded = fuse(network).float().cpu().eval()
    with torch.no_grad(), record_layers(folded) as expected:
        folded(*inputs)
    found = model.layers(*inputs)
    return [
        LayerDrift(name, relative_error(found[name], tensor))
        for name, tensor in expected.items()
        if name in found
    ]


def first_to_drift(drifts: list[LayerDrift], limit: float) -> LayerDrift | None:
    """The first layer in the order of execution whose error is above a limit, None where all keep to it."""
    return next((drift for drift in drifts if not drift.error <= limit), None)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖; infinite where the shapes differ, NaN where found is not finite."""
    if found.shape != expected.shape:
        return float("inf")
    expected = expected.double()
    return float((found.double() - expected).norm() / expected.norm().clamp(min=1e-12))
