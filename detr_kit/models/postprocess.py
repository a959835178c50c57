"""From a network's output to detections in pixels of the original images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_convert

from ..registry import MODELS
from ..structures import DetectorOutput, Prediction


def to_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 4) cxcywh normalised -> xyxy in pixels of an image of (height, width)."""
    height, width = size
    return box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])


@MODELS.register_module()
class SoftmaxPostprocessor:
    """DETR: softmax, drop "no object", one label a query (Carion et al. 2020, section 4)."""

    def __call__(self, output: DetectorOutput, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """Detections of each image, best first.

        Args:
            output: the network's output for B images.
            original_sizes: B pairs (height, width) in pixels.
        """
        scores, labels = output.logits.softmax(-1)[..., :-1].max(-1)
        order = scores.argsort(dim=1, descending=True, stable=True)
        return [
            Prediction(s[o], c[o], to_pixels(b[o], size))
            for s, c, b, o, size in zip(scores, labels, output.boxes, order, original_sizes, strict=True)
        ]


@MODELS.register_module()
class SigmoidPostprocessor:
    """Deformable DETR: sigmoid, then the best pairs of query and class.

    Args:
        max_detections: pairs to keep an image.
    """

    def __init__(self, max_detections: int = 100) -> None:
        self.max_detections = max_detections

    def __call__(self, output: DetectorOutput, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """Detections of each image, best first; arguments as in SoftmaxPostprocessor."""
        num_classes = output.logits.shape[-1]
        flat = output.logits.sigmoid().flatten(1)
        scores, pairs = flat.topk(min(self.max_detections, flat.shape[1]), dim=1)
        labels, queries = pairs % num_classes, torch.div(pairs, num_classes, rounding_mode="floor")
        return [
            Prediction(s, c, to_pixels(b[q], size))
            for s, c, b, q, size in zip(scores, labels, output.boxes, queries, original_sizes, strict=True)
        ]
