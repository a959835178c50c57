"""Varifocal loss: scores are taught to be IoUs."""

import torch
import torch.nn.functional as F
from torchvision.ops import box_convert, box_iou

from detr_kit.losses import HungarianMatcher, SetCriterion, VarifocalLoss

from .made_up import an_output, two_targets


def criterion():
    return SetCriterion(HungarianMatcher("focal", cost_class=2.0), VarifocalLoss())


def test_it_is_the_equation():
    """Zhang et al. 2021, equation 2, a query and a class at a time."""
    output, targets = an_output("focal"), two_targets()
    (match,) = HungarianMatcher("focal", cost_class=2.0)(
        [(output.logits[None], output.boxes[None])], [_padded(targets)]
    )
    expected = 0.0
    matched = dict(
        zip(zip(match.image.tolist(), match.query.tolist(), strict=True), match.target.tolist(), strict=True)
    )
    for image in range(2):
        for query in range(6):
            for label in range(4):
                x = output.logits[image, query, label]
                target = matched.get((image, query))
                q = 0.0
                if target is not None and targets[image]["labels"][target] == label:
                    boxes = output.boxes[image, query][None], targets[image]["boxes"][target][None]
                    q = float(box_iou(*(box_convert(b, "cxcywh", "xyxy") for b in boxes)))
                    weight = q
                else:
                    weight = 0.75 * float(x.sigmoid()) ** 2
                expected += weight * float(F.binary_cross_entropy_with_logits(x, torch.tensor(q)))
    found = criterion()(output, targets)["loss_ce"]
    torch.testing.assert_close(found, torch.tensor(expected / 2), rtol=1e-5, atol=0)


def _padded(targets):
    from detr_kit.losses.targets import PaddedTargets

    return PaddedTargets.of(targets, torch.device("cpu"))


def test_the_best_score_of_a_matched_query_is_its_iou():
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.55, 0.2, 0.2]])}  # IoU 0.6
    losses = {}
    for score in (0.5, 0.6, 0.7):
        logit = torch.logit(torch.tensor([[[score]]]))
        output = an_output("focal")._replace(logits=logit, boxes=boxes)
        losses[score] = criterion()(output, [target])["loss_ce"].item()
    assert min(losses, key=losses.get) == 0.6


def test_boxes_are_not_taught_by_it():
    output = an_output("focal")
    boxes = output.boxes.requires_grad_(True)
    logits = output.logits.requires_grad_(True)
    criterion()(output._replace(logits=logits, boxes=boxes), two_targets())["loss_ce"].backward()
    assert boxes.grad is None
    assert logits.grad.abs().sum() > 0
