"""Denoising: in training a decoder also gets noisy objects, to put right (Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...errors import InputError
from ...registry import MODELS
from ...structures import DenoisingOutput, Matches, Target

_CERTAINLY_NOT = -1e4  # a logit whose sigmoid is 0, and with it the loss of what is not there


class Noise(NamedTuple):
    """The random numbers of B × D denoising queries.

    Attributes:
        change: (B, D) uniform in [0, 1); the class is drawn anew where it is below the share of wrong labels.
        label: (B, D) int64, the class that is drawn.
        sign: (B, D, 4) -1 or 1; size: (B, D, 4) uniform in [0, 1): how the four numbers of a box move.
    """

    change: Tensor
    label: Tensor
    sign: Tensor
    size: Tensor


class DenoisingQueries(NamedTuple):
    """D queries an image, to stand before the Q others. D is 0 where no image of the batch has an object.

    Attributes:
        labels: (B, D) int64 noisy classes, num_classes on padding.
        boxes: (B, D, 4) float32 noisy cxcywh in [0, 1].
        padding: (B, D) bool: of images with fewer objects than the fullest.
        attention_mask: (D + Q, D + Q) bool, True where a query (row) must not see another (column).
        matches: which query was made from which object.
        num_groups: how often each object is asked for.
        teaches_padding: queries on padding learn to find nothing; else nothing is learnt from them.
    """

    labels: Tensor
    boxes: Tensor
    padding: Tensor
    attention_mask: Tensor
    matches: Matches
    num_groups: int
    teaches_padding: bool

    def split(
        self, layers: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[DenoisingOutput, list[tuple[Tensor, Tensor]]]:
        """(logits, boxes) of D + Q queries in each layer -> what became of the D, and the layers of the Q."""
        count = self.labels.shape[1]
        noisy = [(logits[:, :count], boxes[:, :count]) for logits, boxes in layers]
        if not self.teaches_padding:
            padding = self.padding[..., None]
            noisy = [(logits.masked_fill(padding, _CERTAINLY_NOT), boxes) for logits, boxes in noisy]
        others = [(logits[:, count:], boxes[:, count:]) for logits, boxes in layers]
        return DenoisingOutput(noisy, self.matches, self.num_groups), others


@MODELS.register_module()
class Denoising:
    """Queries from noisy objects as DN-DETR makes them (Li et al. 2022, section 4.2).

    Every group holds each object of its image once, and padding up to T, the objects of the fullest image:

        [ group 0: o0 o1 … | group 1: o0 o1 … | … | the other queries ]

    A group sees itself and the other queries; these see no group, which would tell them the answers.

    Args:
        num_groups: copies of every object.
        num_denoising: in place of num_groups: objects × copies in an image; the groups that fit, at least 1.
        label_noise: share of queries whose class is drawn anew, by chance also the right one.
        box_noise: how far a box moves, in parts of what would be far: centres leave by half a side at most,
            and sides grow by their own length.
        padding_box: the four numbers of boxes on padding. They are seen within their group, so that results
            depend on it: 0.5 in DN-DETR and DINO, 0 in RT-DETR and D-FINE.

    Raises:
        InputError: num_groups and num_denoising both or neither, or a number out of range.
    """

    queries_per_object: ClassVar[int] = 1
    """In each group."""
    teaches_padding: ClassVar[bool] = False
    """See DenoisingQueries."""

    def __init__(
        self,
        num_groups: int | None = None,
        num_denoising: int | None = None,
        label_noise: float = 0.2,
        box_noise: float = 0.4,
        padding_box: float = 0.5,
    ) -> None:
        name = type(self).__name__
        if (num_groups is None) == (num_denoising is None):
            raise InputError(
                f"{name}: num_groups={num_groups}, num_denoising={num_denoising}; give one of them"
            )
        if min(n for n in (num_groups, num_denoising) if n is not None) < 1:
            raise InputError(
                f"{name}: num_groups={num_groups}, num_denoising={num_denoising}; give 1 or more, or leave "
                "denoising out with denoising=None"
            )
        if not 0 <= label_noise <= 1 or box_noise < 0:
            raise InputError(
                f"{name}: label_noise={label_noise}, box_noise={box_noise}; a share in [0, 1], and 0 or more"
            )
        self.num_groups, self.num_denoising = num_groups, num_denoising
        self.label_noise, self.box_noise, self.padding_box = label_noise, box_noise, padding_box

    def __call__(
        self,
        targets: Sequence[Target | Mapping[str, Any]],
        *,
        num_queries: int,
        num_classes: int,
        device: torch.device,
    ) -> DenoisingQueries:
        """Make the queries of a batch.

        Args:
            targets: one an image, with or without objects.
            num_queries: Q, the queries beside them.
            num_classes: of the network.
            device: of the result.
        """
        clean, objects, counts = _padded(targets, num_classes, device)
        most = clean.shape[1]
        groups = self._groups_for(most)
        repeats = groups * self.queries_per_object
        clean, objects = clean.repeat(1, repeats), objects.repeat(1, repeats, 1)
        padding = clean == num_classes
        noise = self.draw(len(targets), repeats * most, num_classes, device)
        labels = torch.where((noise.change < self.label_noise) & ~padding, noise.label, clean)
        boxes = self._move(objects, noise, most, groups).clamp(0, 1)
        boxes = boxes.masked_fill(padding[..., None], self.padding_box)
        size = self.queries_per_object * most
        mask = _attention_mask(groups, size, num_queries, device)
        matches = _matches(counts, groups, size, device)
        return DenoisingQueries(labels, boxes, padding, mask, matches, groups, self.teaches_padding)

    def of_batch(
        self, images: Tensor, targets: Sequence[Target] | None, *, num_queries: int, num_classes: int
    ) -> DenoisingQueries:
        """Make the queries of (B, 3, H, W) images, on their device.

        Where a network trains without targets there is nothing to denoise, and its parameters have gradients
        all the same.
        """
        nothing = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
        return self(
            [nothing] * images.shape[0] if targets is None else targets,
            num_queries=num_queries,
            num_classes=num_classes,
            device=images.device,
        )

    def draw(self, batch: int, count: int, num_classes: int, device: torch.device) -> Noise:
        """Random numbers for `count` queries in each image, from torch's generator of the device."""
        return Noise(
            torch.rand(batch, count, device=device),
            torch.randint(num_classes, (batch, count), device=device),
            torch.randint(2, (batch, count, 4), device=device) * 2.0 - 1.0,
            torch.rand(batch, count, 4, device=device),
        )

    def _groups_for(self, most: int) -> int:
        if self.num_denoising is None:
            return self.num_groups or 1
        return max(1, self.num_denoising // max(1, most))

    def _move(self, boxes: Tensor, noise: Noise, most: int, groups: int) -> Tensor:
        """Noisy boxes, cxcywh as `boxes` (B, D, 4): centre and sides each move by themselves."""
        sides = boxes[..., 2:]
        reach = torch.cat((sides / 2, sides), dim=-1)
        return boxes + (noise.size * 2 - 1) * reach * self.box_noise


def _padded(
    targets: Sequence[Target | Mapping[str, Any]], num_classes: int, device: torch.device
) -> tuple[Tensor, Tensor, list[int]]:
    """Labels (B, T), num_classes on padding; boxes (B, T, 4), 0 on padding; objects in each image.

    A label out of range is refused by the criterion, with a message, and must not end the process before.
    """
    pairs = [
        (target["labels"], target["boxes"]) if isinstance(target, Mapping) else (target.labels, target.boxes)
        for target in targets
    ]
    labels = [label.to(device, torch.int64).clamp(0, num_classes - 1) for label, _ in pairs]
    boxes = [box.to(device, torch.float32).view(-1, 4) for _, box in pairs]
    return (
        pad_sequence(labels, batch_first=True, padding_value=num_classes),
        pad_sequence(boxes, batch_first=True),
        [len(label) for label in labels],
    )


def _attention_mask(groups: int, size: int, num_queries: int, device: torch.device) -> Tensor:
    """(D + Q, D + Q) of `groups` groups of `size` queries, and Q others."""
    group = torch.arange(groups, device=device).repeat_interleave(size)
    group = torch.cat((group, group.new_full((num_queries,), groups)))
    return (group[:, None] != group) & (group < groups)


def _matches(counts: Sequence[int], groups: int, size: int, device: torch.device) -> Matches:
    """The first queries of each group are the objects in their order, as they are taught to be found."""
    image = torch.cat([torch.full((groups * count,), i) for i, count in enumerate(counts)])
    target = torch.cat([torch.arange(count).repeat(groups) for count in counts])
    start = torch.cat([(torch.arange(groups) * size).repeat_interleave(count) for count in counts])
    return Matches(*(part.to(device, non_blocking=True) for part in (image, start + target, target)))
