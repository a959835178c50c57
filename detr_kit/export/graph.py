"""What is exported: a network, and where wanted its post-processing, as one function of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torchvision.ops import box_convert

from ..models.layers.fuse import fuse
from ..models.postprocess import Postprocessor
from .layer_record import record_layers
from .options import LARGEST_SIDE, SMALLEST_SIDE

RAW_OUTPUTS = ("logits", "boxes")
DETECTION_OUTPUTS = ("scores", "labels", "boxes")


class DetectionGraph(nn.Module):
    """Images in, detections or raw outputs out, in evaluation mode, fused.

    Args:
        network: images, padding_mask -> DetectorOutput; copied.
        postprocessor: ends the graph with it; None leaves logits and boxes.
        dtype: float32 or float16, in which the network computes. Boxes, scores and sampling locations are
            float32 in both (models/precision.py).
        with_layers: return the output of every layer too (layer_record.py), after the others.
    """

    def __init__(
        self,
        network: nn.Module,
        postprocessor: Postprocessor | None,
        dtype: torch.dtype = torch.float32,
        with_layers: bool = False,
    ) -> None:
        super().__init__()
        self.network = fuse(network).cpu().eval().to(dtype)
        self.postprocessor, self.dtype, self.with_layers = postprocessor, dtype, with_layers

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what comes out, layers left out."""
        return RAW_OUTPUTS if self.postprocessor is None else DETECTION_OUTPUTS

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Detect objects.

        Args:
            images: (B, 3, H, W) float32, RGB, on the network's pixel scale.
            padding_mask: (B, H, W) bool, True on padding.

        Returns:
            logits (B, Q, C), boxes (B, Q, 4) cxcywh normalised; or scores (B, K), labels (B, K), boxes
            (B, K, 4) xyxy normalised, best first.
        """
        with record_layers(self.network) as layers:
            output = self.network(images.to(self.dtype), padding_mask)
        results: tuple[Tensor, ...] = output[:2]
        if self.postprocessor is not None:
            scores, labels, boxes = self.postprocessor.select(output)
            results = (scores, labels, box_convert(boxes, "cxcywh", "xyxy"))
        return (*results, *layers.values()) if self.with_layers else results

    def layer_names(self, inputs: Sequence[Tensor]) -> list[str]:
        """Names of the layers in the order in which they run."""
        with torch.no_grad(), record_layers(self.network) as layers:
            self.network(inputs[0].to(self.dtype), *inputs[1:])
        return list(layers)


@dataclass(frozen=True)
class GraphInputs:
    """Inputs to trace with, and which of their sizes stay free.

    Attributes:
        tensors: images (2, 3, H, W), and with a mask (2, H, W).
        dynamic_shapes: as torch.export takes them.
    """

    tensors: tuple[Tensor, ...]
    dynamic_shapes: tuple[dict[int, Any], ...]

    @classmethod
    def of(cls, static_size: tuple[int, int] | None, padding_mask: bool) -> GraphInputs:
        """Free batch, and free height and width unless a static (height, width) is given."""
        # Unequal sides and a batch above 1, so that no two sizes can be taken for one another.
        height, width = static_size or (160, 224)
        images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        axes: dict[int, Any] = {0: Dim("batch")}
        mask_axes = dict(axes)
        if static_size is None:
            sides = [Dim(name, min=SMALLEST_SIDE, max=LARGEST_SIDE) for name in ("height", "width")]
            axes |= {2: sides[0], 3: sides[1]}
            mask_axes |= {1: sides[0], 2: sides[1]}
        if not padding_mask:
            return cls((images,), (axes,))
        mask = torch.zeros(2, height, width, dtype=torch.bool)
        mask[1, :, -40:] = True
        return cls((images, mask), (axes, mask_axes))


def input_names(padding_mask: bool) -> list[str]:
    """What a graph's inputs are called."""
    return ["images", "padding_mask"] if padding_mask else ["images"]
