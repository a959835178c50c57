"""The set loss of DETR and Deformable DETR (Carion et al. 2020, equation 2; Zhu et al. 2021, A.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_convert

from ..errors import InputError
from ..registry import MODELS
from ..structures import DetectorOutput, Matches, Target
from .classification import ClassificationLoss, classification_loss
from .further_loss import FurtherLoss
from .giou import box_iou, generalized_iou
from .groups import Group, Pairs, groups_of
from .matcher import HungarianMatcher
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
        self.further = nn.ModuleList(further)
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
            _enc of the two-stage encoder; with _dn and _dn_0, _dn_1, … of denoising queries. Three figures
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
        searched = [group for group in groups if group.given is None]
        found = iter(
            self.matcher([(g.logits, g.boxes) for g in searched], [group.targets for group in searched])
        )
        num_boxes = _global_mean_count(sum(padded.counts), output.logits.device)
        losses: dict[str, Tensor] = {}
        for group in groups:
            matches = [next(found) if group.given is None else group.given for _ in group.names]
            losses |= self._losses_of(group, matches, num_boxes * group.copies)
        return losses

    def _losses_of(self, group: Group, matches: Sequence[Matches], num_boxes: Tensor) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        pairs = Pairs.of(matches, group.targets)
        of_layers = {"loss_ce": self.classification_loss(group, pairs, num_boxes)}
        for further in self.further:
            of_layers |= further(group, pairs, num_boxes)
        for i, (name, match) in enumerate(zip(group.names, matches, strict=True)):
            losses |= {f"{loss}{name}": values[i] for loss, values in of_layers.items()}
            bbox, giou = self._box_losses(group.boxes[i], group.targets, match, num_boxes)
            losses[f"loss_bbox{name}"], losses[f"loss_giou{name}"] = bbox, giou
            if name == "":
                logits, boxes = group.logits[i].detach(), group.boxes[i].detach()
                losses |= self._figures(logits, boxes, group.targets, match)
        return losses

    def weighted(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses times their coefficients, without what is only logged; their sum is to be minimised."""
        return {
            name: value * self.weights["_".join(name.split("_")[:2])]
            for name, value in losses.items()
            if name.startswith("loss_")
        }

    @torch.no_grad()
    def _figures(
        self, logits: Tensor, boxes: Tensor, targets: PaddedTargets, match: Matches
    ) -> dict[str, Tensor]:
        """What is logged and not minimised, of one layer."""
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

    @staticmethod
    def _box_losses(
        boxes: Tensor, targets: PaddedTargets, match: Matches, num_boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """boxes (B, Q, 4) -> L1 and GIoU loss of the matched pairs, over the number of objects."""
        predicted = boxes[match.image, match.query]
        wanted = targets.boxes[match.image, match.target]
        l1 = F.l1_loss(predicted, wanted, reduction="sum")
        giou = generalized_iou(
            box_convert(predicted, "cxcywh", "xyxy"), box_convert(wanted, "cxcywh", "xyxy")
        )
        return l1 / num_boxes, (1 - giou).sum() / num_boxes


def _global_mean_count(count: int, device: torch.device) -> Tensor:
    """Objects in a batch, averaged over the processes, at least 1 (Carion et al. 2020, appendix A.2)."""
    total = torch.tensor(float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total.clamp(min=1)


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
