"""From a network's output to detections in pixels of the original images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

from ..number_ranges import check_count, check_share
from ..registry import MODELS
from ..structures import DetectorOutput, Prediction


def to_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 4) cxcywh normalised -> xyxy in pixels of an image of (height, width)."""
    height, width = size
    return box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])


# Pairs that are looked at for each one that is kept, where duplicates are left out.
_CANDIDATES = 10


class Postprocessor(ABC):
    """Chooses detections, then brings their boxes to pixels.

    Args:
        nms_iou_threshold: leave out detections that overlap a better one of the same class by more than this
            IoU; None keeps them all, as the papers do. A fully trained DETR finds each object once, one that
            was trained briefly several times (docs/training.md, "Presets").
        max_detections: the best of an image that are kept, counted without duplicates; None for no limit.

    Attributes:
        classification: what it takes logits for; None where it does not matter.

    Raises:
        InputError: a threshold outside (0, 1], or a limit below 1.
    """

    classification: ClassVar[str | None] = None

    def __init__(self, nms_iou_threshold: float | None = None, max_detections: int | None = None) -> None:
        name = type(self).__name__
        if nms_iou_threshold is not None:
            check_share(f"{name}: nms_iou_threshold", nms_iou_threshold, above=True, remark=", or None")
        if max_detections is not None:
            check_count(f"{name}: max_detections", max_detections)
        self.max_detections = max_detections
        self.nms_iou_threshold = nms_iou_threshold

    def __call__(self, output: DetectorOutput, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """Detections of each image, best first.

        Args:
            output: the network's output for B images.
            original_sizes: B pairs (height, width) in pixels.

        Raises:
            InputError: of a network whose logits mean something else.
        """
        output.check_meaning(self.classification, type(self).__name__)
        return [
            self.without_duplicates(Prediction(scores, labels, to_pixels(boxes, size)))
            for scores, labels, boxes, size in zip(*self.select(output), original_sizes, strict=True)
        ]

    def without_duplicates(self, prediction: Prediction) -> Prediction:
        """What `select` chose without its duplicates, still best first; all of it where they are kept."""
        if self.nms_iou_threshold is None:
            return prediction
        scores, labels, boxes = prediction
        kept = batched_nms(boxes.float(), scores.float(), labels, self.nms_iou_threshold).sort().values
        kept = kept[: self.max_detections]
        return Prediction(scores[kept], labels[kept], boxes[kept])

    @abstractmethod
    def select(self, output: DetectorOutput) -> tuple[Tensor, Tensor, Tensor]:
        """The K best of each image, best first, as tensors of the batch: what an exported graph ends with.

        Duplicates are among them, and to make up for those more than `max_detections`.

        Returns:
            scores (B, K), labels (B, K) int64, boxes (B, K, 4) cxcywh normalised to each image.
        """


@MODELS.register_module()
class SoftmaxPostprocessor(Postprocessor):
    """DETR: softmax, drop "no object", one label a query (Carion et al. 2020, section 4)."""

    classification = "softmax"

    def select(self, output: DetectorOutput) -> tuple[Tensor, Tensor, Tensor]:
        """See Postprocessor; K is the number of queries."""
        scores, labels = output.logits.softmax(-1)[..., :-1].max(-1)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        return scores, labels.gather(1, order), _boxes_of(output, order)


@MODELS.register_module()
class SigmoidPostprocessor(Postprocessor):
    """Deformable DETR: sigmoid, then the best pairs of query and class.

    Args:
        max_detections, nms_iou_threshold: see Postprocessor.
    """

    classification = "focal"

    def __init__(self, max_detections: int = 100, nms_iou_threshold: float | None = None) -> None:
        super().__init__(nms_iou_threshold, max_detections)

    def select(self, output: DetectorOutput) -> tuple[Tensor, Tensor, Tensor]:
        """See Postprocessor; K is max_detections, more before duplicates go, or all pairs."""
        num_queries, num_classes = output.logits.shape[1:]
        wanted = self.max_detections or num_queries * num_classes
        if self.nms_iou_threshold is not None:
            wanted = max(_CANDIDATES * wanted, num_queries)
        flat = output.logits.sigmoid().flatten(1)
        scores, pairs = flat.topk(min(wanted, flat.shape[1]), dim=1)
        queries = torch.div(pairs, num_classes, rounding_mode="floor")
        return scores, pairs % num_classes, _boxes_of(output, queries)


def _boxes_of(output: DetectorOutput, queries: Tensor) -> Tensor:
    """queries (B, K) -> (B, K, 4)."""
    return output.boxes.gather(1, queries[..., None].expand(-1, -1, 4))
