"""What the criterion works through: stacks of layers that answer to the same targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..structures import DetectorOutput, Matches
from .targets import PaddedTargets


@dataclass(frozen=True)
class Group:
    """N layers with the same queries.

    Attributes:
        logits: (N, B, Q, C) float32; boxes: (N, B, Q, 4) float32 cxcywh.
        targets: what they answer to.
        names: of the layers, as they follow the names of their losses: "_0", "_1", …, "" for the last.
        given: the pairs that all of the layers answer for; None where they are to be searched.
        copies: how often each object is asked for: groups of denoising queries.
        extras: what else the network says of each query, (N, B, Q, …), for losses of a family's own.
    """

    logits: Tensor
    boxes: Tensor
    targets: PaddedTargets
    names: tuple[str, ...]
    given: Matches | None = None
    copies: int = 1
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """The matched pairs of all layers of a group, each (K,) int64, and what they answer to.

    Attributes:
        layer, image, query: where the predictions are; target: which object of its image.
        labels: (K,) int64 classes; boxes: (K, 4) float32 cxcywh of the objects.
        lengths: pairs of each layer, which stand one after the other.
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    target: Tensor
    labels: Tensor
    boxes: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, matches: Sequence[Matches], targets: PaddedTargets) -> Pairs:
        """From one Matches a layer."""
        layer = torch.cat([torch.full_like(match.image, i) for i, match in enumerate(matches)])
        image, query, target = (torch.cat(part) for part in zip(*matches, strict=True))
        objects = targets.labels[image, target], targets.boxes[image, target]
        return cls(layer, image, query, target, *objects, tuple(len(match.image) for match in matches))

    def predicted(self, values: Tensor) -> Tensor:
        """values (N, B, Q, …) -> (K, …) of the matched queries."""
        return values[self.layer, self.image, self.query]

    def sums(self, values: Tensor) -> Tensor:
        """values (K,) -> (N,), the sum of each layer's."""
        return torch.stack([part.sum() for part in values.split(self.lengths)])


@dataclass(frozen=True)
class Matched:
    """A group with what was found for it.

    Attributes:
        group: see Group.
        pairs: those that its boxes answer for.
        num_boxes: scalar, objects to divide by.
    """

    group: Group
    pairs: Pairs
    num_boxes: Tensor


def groups_of(output: DetectorOutput, targets: PaddedTargets) -> list[Group]:
    """The decoder's layers first; then boxes they start from, proposals, denoising queries, if there are."""
    layers = [*output.auxiliary, (output.logits, output.boxes)]
    names = (*(f"_{i}" for i in range(len(layers) - 1)), "")
    groups = [Group(*_stack(layers), targets, names, extras=output.extras or {})]
    if output.initial is not None:
        groups.append(Group(*_stack([output.initial]), targets, ("_pre",)))
    if output.encoder is not None:
        known = targets if output.encoder_knows_classes else targets.without_classes()
        groups.append(Group(*_stack([output.encoder]), known, ("_enc",)))
    if output.denoising is not None:
        noisy = output.denoising
        last = len(noisy.layers) - 1
        names = tuple("_dn" if i == last else f"_dn_{i}" for i in range(last + 1))
        groups.append(
            Group(*_stack(noisy.layers), targets, names, noisy.matches, noisy.num_groups, noisy.extras or {})
        )
        if noisy.initial is not None:
            start = _stack([noisy.initial])
            groups.append(Group(*start, targets, ("_dn_pre",), noisy.matches, noisy.num_groups))
    return groups


def _stack(layers: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    logits, boxes = zip(*layers, strict=True)
    return torch.stack(logits).float(), torch.stack(boxes).float()
