"""The set loss of DETR and Deformable DETR (Carion et al. 2020, equation 2; Zhu et al. 2021, A.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_convert, sigmoid_focal_loss

from ..errors import InputError
from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .giou import generalized_iou
from .matcher import HungarianMatcher, Matches
from .targets import PaddedTargets


@MODELS.register_module()
class SetCriterion(nn.Module):
    """Classification, L1 and GIoU losses of the matched pairs, for every decoder layer.

    Args:
        matcher: pairs queries with objects.
        classification: "softmax" (cross-entropy with "no object" as the last class) or "focal"; the
            matcher's by default, and never another.
        weight_class, weight_bbox, weight_giou: the coefficients of `weighted`.
        no_object_weight: weight of "no object" in the cross-entropy.
        alpha, gamma: of the focal loss (Lin et al. 2017).

    Raises:
        ValueError: another classification, or not the matcher's.
    """

    def __init__(
        self,
        matcher: HungarianMatcher,
        classification: str | None = None,
        weight_class: float = 1.0,
        weight_bbox: float = 5.0,
        weight_giou: float = 2.0,
        no_object_weight: float = 0.1,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        super().__init__()
        of_matcher = getattr(matcher, "classification", None)  # a user's own may not say
        classification = classification or of_matcher
        if classification not in ("softmax", "focal"):
            raise ValueError(f'SetCriterion: classification={classification!r}, not "softmax" or "focal"')
        if of_matcher not in (None, classification):
            raise ValueError(
                f"SetCriterion: classification={classification!r}, and its matcher's is {of_matcher!r}; give "
                "both the network's, or use criterion_for(network)"
            )
        self.matcher, self.classification = matcher, classification
        self.weights = {"loss_ce": weight_class, "loss_bbox": weight_bbox, "loss_giou": weight_giou}
        self.no_object_weight, self.alpha, self.gamma = no_object_weight, alpha, gamma

    def forward(
        self, output: DetectorOutput, targets: Sequence[Target | Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        """All losses, not yet weighted.

        Args:
            output: of the network, any floating dtype; losses are float32.
            targets: one an image: Target, or a mapping with "labels" (N,) and "boxes" (N, 4) cxcywh.

        Returns:
            Scalars: loss_ce, loss_bbox, loss_giou of the last layer; with _0, _1, … of the earlier ones; with
            _enc of the two-stage encoder. Three figures tell early whether anything is learned: class_error,
            per cent of matched queries with another class, where there are several; matched_iou, mean IoU of
            the matched pairs; cardinality_error, how many objects an image is found to have too many or too
            few (what the original code logs).

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
        layers = [*output.auxiliary, (output.logits, output.boxes)]
        suffixes = [*(f"_{i}" for i in range(len(layers) - 1)), ""]
        groups = [(_stack(layers), padded, suffixes)]
        if output.encoder is not None:
            groups.append((_stack([output.encoder]), padded.without_classes(), ["_enc"]))
        matches = self.matcher([group for group, _, _ in groups], [target for _, target, _ in groups])
        num_boxes = _global_mean_count(sum(padded.counts), output.logits.device)

        losses: dict[str, Tensor] = {}
        for (logits, boxes), target, names in groups:
            group_matches, matches = matches[: len(names)], matches[len(names) :]
            classification = self._classification(logits, target, group_matches, num_boxes)
            for i, (name, match) in enumerate(zip(names, group_matches, strict=True)):
                bbox, giou = self._box_losses(boxes[i], target, match, num_boxes)
                losses[f"loss_ce{name}"] = classification[i]
                losses[f"loss_bbox{name}"], losses[f"loss_giou{name}"] = bbox, giou
                if name == "":
                    losses |= self._figures(logits[i].detach(), boxes[i].detach(), target, match)
        return losses

    def weighted(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses times their coefficients, without what is only logged; their sum is to be minimised."""
        return {
            name: value * self.weights["_".join(name.split("_")[:2])]
            for name, value in losses.items()
            if name.startswith("loss_")
        }

    def _classification(
        self, logits: Tensor, targets: PaddedTargets, matches: Sequence[Matches], num_boxes: Tensor
    ) -> Tensor:
        """logits (N, B, Q, C) -> (N,): every layer at once."""
        num_layers, _, _, num_logits = logits.shape
        layer = torch.cat([torch.full_like(m.image, i) for i, m in enumerate(matches)])
        image, query, target = (torch.cat(part) for part in zip(*matches, strict=True))
        labels = targets.labels[image, target]
        if self.classification == "softmax":
            no_object = num_logits - 1
            classes = torch.full(logits.shape[:3], no_object, dtype=torch.int64, device=logits.device)
            classes[layer, image, query] = labels
            weight = torch.where(classes == no_object, self.no_object_weight, 1.0)
            loss = F.cross_entropy(logits.flatten(0, 2), classes.flatten(), reduction="none").view_as(weight)
            return (loss * weight).sum((1, 2)) / weight.sum((1, 2))
        one_hot = torch.zeros_like(logits)
        one_hot[layer, image, query, labels] = 1
        loss = sigmoid_focal_loss(logits, one_hot, self.alpha, self.gamma, reduction="none")
        return loss.view(num_layers, -1).sum(1) / num_boxes

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


def _stack(layers: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    logits, boxes = zip(*layers, strict=True)
    return torch.stack(logits).float(), torch.stack(boxes).float()


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
    inner = torch.minimum(predicted[:, 2:], wanted[:, 2:]) - torch.maximum(predicted[:, :2], wanted[:, :2])
    intersection = inner.clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (predicted, wanted)]
    return (intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-12)).mean()


def _class_error(logits: Tensor, targets: PaddedTargets, match: Matches) -> Tensor:
    if len(match.image) == 0:
        return logits.new_tensor(100.0)
    right = logits[match.image, match.query].argmax(-1) == targets.labels[match.image, match.target]
    return 100 - 100 * right.float().mean()
