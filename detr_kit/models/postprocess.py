"""From a network's output to detections in pixels of the original images."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


class Postprocessor(ABC):
    """Chooses detections, then brings their boxes to pixels."""

    def __call__(self, output: DetectorOutput, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """Detections of each image, best first.

        Args:
            output: the network's output for B images.
            original_sizes: B pairs (height, width) in pixels.
        """
        return [
            Prediction(scores, labels, to_pixels(boxes, size))
            for scores, labels, boxes, size in zip(*self.select(output), original_sizes, strict=True)
        ]

    @abstractmethod
    def select(self, output: DetectorOutput) -> tuple[Tensor, Tensor, Tensor]:
        """The K best of each image, best first, as tensors of the batch: what an exported graph ends with.

        Returns:
            scores (B, K), labels (B, K) int64, boxes (B, K, 4) cxcywh normalised to each image.
        """


@MODELS.register_module()
class SoftmaxPostprocessor(Postprocessor):
    """DETR: softmax, drop "no object", one label a query (Carion et al. 2020, section 4)."""

    def select(self, output: DetectorOutput) -> tuple[Tensor, Tensor, Tensor]:
        """See Postprocessor; K is the number of queries."""
        scores, labels = output.logits.softmax(-1)[..., :-1].max(-1)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        return scores, labels.gather(1, order), _boxes_of(output, order)


@MODELS.register_module()
class SigmoidPostprocessor(Postprocessor):
    """Deformable DETR: sigmoid, then the best pairs of query and class.

    Args:
        max_detections: pairs to keep an image.
    """

    def __init__(self, max_detections: int = 100) -> None:
        self.max_detections = max_detections

    def select(self, output: DetectorOutput) -> tuple[Tensor, Tensor, Tensor]:
        """See Postprocessor; K is max_detections, or all pairs where there are fewer."""
        num_classes = output.logits.shape[-1]
        flat = output.logits.sigmoid().flatten(1)
        scores, pairs = flat.topk(min(self.max_detections, flat.shape[1]), dim=1)
        queries = torch.div(pairs, num_classes, rounding_mode="floor")
        return scores, pairs % num_classes, _boxes_of(output, queries)


def _boxes_of(output: DetectorOutput, queries: Tensor) -> Tensor:
    """queries (B, K) -> (B, K, 4)."""
    return output.boxes.gather(1, queries[..., None].expand(-1, -1, 4))
