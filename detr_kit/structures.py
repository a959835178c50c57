"""What the parts of detr-kit hand to each other: batches, targets, outputs, predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import InputError


class Matches(NamedTuple):
    """The matched pairs of one set of predictions over a batch, all (K,) int64 on the predictions' device.

    Attributes:
        image: index in the batch; query: index of the query; target: index of the object in its image.
    """

    image: Tensor
    query: Tensor
    target: Tensor


class DenoisingOutput(NamedTuple):
    """What became of the queries that were made from noisy objects, in training.

    Attributes:
        layers: (logits (B, D, C), boxes (B, D, 4)) of each decoder layer, first layer first.
        matches: which query was made from which object; queries without one were made to find nothing.
        num_groups: how often each object was asked for.
        extras, initial: as in `DetectorOutput`, of these queries.
    """

    layers: list[tuple[Tensor, Tensor]]
    matches: Matches
    num_groups: int = 1
    extras: dict[str, Tensor] | None = None
    initial: tuple[Tensor, Tensor] | None = None


class DetectorOutput(NamedTuple):
    """What a network gives for a batch; a tuple, so that torch.export and torch.compile take it as it is.

    Attributes:
        logits: (B, num_queries, num_classes), or num_classes + 1 with "no object" last for softmax models.
        boxes: (B, num_queries, 4) cxcywh, normalised to each image without its padding.
        auxiliary: (logits, boxes) of each earlier decoder layer, first layer first.
        encoder: (logits, boxes) of every two-stage proposal (B, S, ·), else None.
        classification: what the logits mean: "softmax", or "focal" for a sigmoid a class; None where the
            network does not say.
        encoder_knows_classes: the encoder's logits tell classes; those of Deformable DETR only objects.
        denoising: in training, of the queries that were made from the targets; None where there are none.
        extras: what else the network says of each query in each decoder layer, last layer last, for losses of
            its own: name -> (layers, B, num_queries, …), each of the three 1 where it makes no difference.
        initial: (logits, boxes) that the boxes of all decoder layers start from, where they do not start from
            one another; None elsewhere.
    """

    logits: Tensor
    boxes: Tensor
    auxiliary: list[tuple[Tensor, Tensor]]
    encoder: tuple[Tensor, Tensor] | None = None
    classification: str | None = None
    encoder_knows_classes: bool = False
    denoising: DenoisingOutput | None = None
    extras: dict[str, Tensor] | None = None
    initial: tuple[Tensor, Tensor] | None = None

    def probabilities(self) -> Tensor:
        """(B, num_queries, num_classes) of the last layer, without "no object"."""
        if self.classification == "softmax":
            return self.logits.softmax(-1)[..., :-1]
        return self.logits.sigmoid()

    def check_meaning(self, classification: str | None, reader: str) -> None:
        """Refuse to have logits read as what they are not: every number would be finite, and nonsense.

        Args:
            classification: what `reader`, named in the message, takes them for; None for anything.

        Raises:
            InputError: the network says otherwise.
        """
        if None not in (self.classification, classification) and self.classification != classification:
            raise InputError(
                f"{reader} reads logits as {classification!r}, this network's are {self.classification!r}: "
                "build the matcher and criterion with detr_kit.losses.criterion_for(network), and take "
                "SoftmaxPostprocessor for softmax, SigmoidPostprocessor for focal"
            )


@dataclass
class Target:
    """The objects of one image, and what is needed to bring predictions back to it.

    Attributes:
        labels: (N,) int64, contiguous class indices.
        boxes: (N, 4) float32 cxcywh, normalised to the image as the network sees it, without padding.
        size: (height, width) of that image in pixels.
        original_size: (height, width) of the image file in pixels.
        image_id: the data set's own id.
        path: the image file, for messages.
    """

    labels: Tensor
    boxes: Tensor
    size: tuple[int, int]
    original_size: tuple[int, int]
    image_id: int = -1
    path: str = ""

    def to(self, device: torch.device | str) -> Target:
        """The same target with its tensors on `device`."""
        labels, boxes = (t.to(device, non_blocking=True) for t in (self.labels, self.boxes))
        return Target(labels, boxes, self.size, self.original_size, self.image_id, self.path)


@dataclass
class ImageBatch:
    """Images padded to one size.

    Attributes:
        images: (B, 3, H, W) RGB; uint8 as loaded, float32 and on its pixel scale for the network.
        padding_mask: (B, H, W) bool, True on padding.
        targets: one Target an image.
        skipped: messages about images that could not be read and were replaced by others.
    """

    images: Tensor
    padding_mask: Tensor
    targets: list[Target] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def to(self, device: torch.device | str) -> ImageBatch:
        """The same batch on `device`."""
        return ImageBatch(
            self.images.to(device, non_blocking=True),
            self.padding_mask.to(device, non_blocking=True),
            [target.to(device) for target in self.targets],
            self.skipped,
        )

    def pin_memory(self) -> ImageBatch:
        """Page-locked copies; DataLoader(pin_memory=True) calls this."""
        images, mask = self.images.pin_memory(), self.padding_mask.pin_memory()
        return ImageBatch(images, mask, self.targets, self.skipped)

    def __len__(self) -> int:
        return len(self.images)


class Prediction(NamedTuple):
    """Post-processed detections of one image, best first.

    Attributes:
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 class indices.
        boxes: (N, 4) float32 xyxy in pixels of the original image.
    """

    scores: Tensor
    labels: Tensor
    boxes: Tensor
