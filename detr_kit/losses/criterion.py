"""The set loss of DETR and Deformable DETR (Carion et al. 2020, equation 2; Zhu et al. 2021, A.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from ..errors import InputError
from ..registry import MODELS
from ..structures import DetectorOutput, Matches, Target
from .classification import ClassificationLoss, classification_loss
from .further_loss import FurtherLoss
from .giou import box_iou, generalized_iou
from .groups import Group, Matched, Pairs, groups_of
from .matcher import HungarianMatcher
from .process_mean import process_mean
from .targets import PaddedTargets


@MODELS.register_module()
class SetCriterion(nn.Module):
    """Classification, L1 and GIoU losses of the matched pairs, for every layer.

    Args:
        matcher: pairs queries with objects.
        classification: the classification loss, `SoftmaxLoss` or `FocalLoss` or one like them; or the name of
            what logits mean, "softmax" or "focal", for the usual one. By default that of the matcher, and
            never for another meaning.
        weight_class, weight_bbox, weight_giou: the coefficients of `weighted`.
        further: losses of a family's own, see FurtherLoss.
        union: the boxes of every layer, and further losses, answer for what any layer, or the encoder, was
            matched with, and not for its own matches alone (D-FINE, Peng et al. 2025, section 4.2).
        no_object_weight, alpha, gamma: of the loss that `classification` names.

    Raises:
        ValueError: another classification, not the matcher's, or numbers for a loss that is given whole.
    """

    def __init__(
        self,
        matcher: HungarianMatcher,
        classification: ClassificationLoss | str | None = None,
        weight_class: float = 1.0,
        weight_bbox: float = 5.0,
        weight_giou: float = 2.0,
        no_object_weight: float | None = None,
        alpha: float | None = None,
        gamma: float | None = None,
        further: Sequence[FurtherLoss] = (),
        union: bool = False,
    ) -> None:
        super().__init__()
        of_matcher = getattr(matcher, "classification", None)  # a user's own may not say
        numbers = {"no_object_weight": no_object_weight, "alpha": alpha, "gamma": gamma}
        given = {name: value for name, value in numbers.items() if value is not None}
        loss = classification_loss(classification or of_matcher, given)
        if of_matcher not in (None, loss.classification):
            raise ValueError(
                f"SetCriterion: classification={loss.classification!r}, and its matcher's is {of_matcher!r}; "
                "give both the network's, or use criterion_for(network)"
            )
        self.matcher, self.classification_loss = matcher, loss
        self.further, self.union = nn.ModuleList(further), union
        self.weights = {"loss_ce": weight_class, "loss_bbox": weight_bbox, "loss_giou": weight_giou}
        for one in further:
            self.weights |= one.weights

    @property
    def classification(self) -> str:
        """What logits are taken for."""
        return self.classification_loss.classification

    def forward(
        self, output: DetectorOutput, targets: Sequence[Target | Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        """All losses, not yet weighted.

        Args:
            output: of the network, any floating dtype; losses are float32.
            targets: one an image: Target, or a mapping with "labels" (N,) and "boxes" (N, 4) cxcywh.

        Returns:
            Scalars: loss_ce, loss_bbox, loss_giou of the last layer; with _0, _1, … of the earlier ones; with
            _pre of the boxes that they start from; with _enc of the two-stage encoder; with _dn and _dn_0,
            _dn_1, …, _dn_pre of denoising queries. Three figures
            tell early whether anything is learned: class_error, per cent of matched queries with another
            class, where there are several; matched_iou, mean IoU of the matched pairs; cardinality_error, how
            many objects an image is found to have too many or too few (what the original code logs).

        Raises:
            InputError: the network's logits mean something else, or targets that cannot be: one message with
                the image, the value and what to do.
        """
        output.check_meaning(self.classification, "SetCriterion")
        with torch.autocast(output.logits.device.type, enabled=False):
            return self._losses(output, targets)

    def _losses(
        self, output: DetectorOutput, targets: Sequence[Target | Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        if len(targets) != len(output.logits):
            raise InputError(f"{len(targets)} targets for {len(output.logits)} images; give one an image")
        padded = PaddedTargets.of(targets, output.logits.device)
        groups = groups_of(output, padded)
        own, joined = self._matches(groups)
        counts = [sum(padded.counts), *([] if joined is None else [len(joined.image)])]
        counted = torch.tensor(counts, dtype=torch.float32, device=output.logits.device)
        num_boxes, *num_joined = process_mean(counted).clamp(min=1)
        losses: dict[str, Tensor] = {}
        main: Matched | None = None
        for group, matches in zip(groups, own, strict=True):
            matched = Matched(group, Pairs.of(matches, group.targets), num_boxes * group.copies)
            of_layers = {"loss_ce": self.classification_loss(group, matched.pairs, matched.num_boxes)}
            if joined is not None and group.given is None:
                pairs = Pairs.of([joined] * len(matches), group.targets)
                matched = Matched(group, pairs, num_joined[0])
            main = main or matched
            of_layers |= _box_losses(matched)
            for further in self.further:
                of_layers |= further(matched, main)
            losses |= {
                f"{loss}{name}": values[i]
                for i, name in enumerate(group.names)
                for loss, values in of_layers.items()
            }
        return losses | self._figures(groups[0], own[0][-1])

    def _matches(self, groups: Sequence[Group]) -> tuple[list[list[Matches]], Matches | None]:
        """Each layer's own matches, for each group; and what they give when they are joined, where wanted."""
        searched = [group for group in groups if group.given is None]
        inputs = [(group.logits, group.boxes) for group in searched], [group.targets for group in searched]
        found = self.matcher(*inputs, union=True) if self.union else self.matcher(*inputs)
        joined = found.pop() if self.union else None
        rest = iter(found)
        own = [[next(rest) if group.given is None else group.given for _ in group.names] for group in groups]
        return own, joined

    def weighted(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses times their coefficients, without what is only logged; their sum is to be minimised."""
        return {
            name: value * self.weights["_".join(name.split("_")[:2])]
            for name, value in losses.items()
            if name.startswith("loss_")
        }

    @torch.no_grad()
    def _figures(self, group: Group, match: Matches) -> dict[str, Tensor]:
        """What is logged and not minimised, of the last layer."""
        logits, boxes, targets = group.logits[-1], group.boxes[-1], group.targets
        counts = torch.tensor(targets.counts, dtype=torch.float32, device=logits.device)
        if self.classification == "softmax":
            found = (logits.argmax(-1) != logits.shape[-1] - 1).sum(1)
        else:
            found = (logits.amax(-1) > 0).sum(1)  # a probability above one half
        figures = {
            "matched_iou": _matched_iou(boxes, targets, match),
            "cardinality_error": (found - counts).abs().mean(),
        }
        if logits.shape[-1] == 1:  # no class to be mistaken for
            return figures
        return {"class_error": _class_error(logits, targets, match), **figures}


def _box_losses(matched: Matched) -> dict[str, Tensor]:
    """L1 and GIoU loss of the matched pairs of each layer, (N,), over the number of objects."""
    pairs, predicted = matched.pairs, matched.pairs.predicted(matched.group.boxes)
    l1 = (predicted - pairs.boxes).abs().sum(-1)
    giou = generalized_iou(
        box_convert(predicted, "cxcywh", "xyxy"), box_convert(pairs.boxes, "cxcywh", "xyxy")
    )
    losses = {"loss_bbox": l1, "loss_giou": 1 - giou}
    return {name: pairs.sums(values) / matched.num_boxes for name, values in losses.items()}


def _matched_iou(boxes: Tensor, targets: PaddedTargets, match: Matches) -> Tensor:
    """Mean IoU of the matched pairs; 0 where there is no object."""
    if len(match.image) == 0:
        return boxes.new_zeros(())
    predicted = box_convert(boxes[match.image, match.query], "cxcywh", "xyxy")
    wanted = box_convert(targets.boxes[match.image, match.target], "cxcywh", "xyxy")
    return box_iou(predicted, wanted).mean()


def _class_error(logits: Tensor, targets: PaddedTargets, match: Matches) -> Tensor:
    if len(match.image) == 0:
        return logits.new_tensor(100.0)
    right = logits[match.image, match.query].argmax(-1) == targets.labels[match.image, match.target]
    return 100 - 100 * right.float().mean()
