"""DEIM's classification loss: a matched query with a poor box is taught too."""

from types import SimpleNamespace

import pytest
import torch
from torchvision.ops import box_convert, box_iou

from detr_kit.losses import HungarianMatcher, MatchabilityAwareLoss, SetCriterion, VarifocalLoss
from detr_kit.losses.targets import PaddedTargets

from .made_up import an_output, two_targets


def criterion(loss=None):
    return SetCriterion(HungarianMatcher("focal", cost_class=2.0), loss or MatchabilityAwareLoss())


def matches(output, targets):
    padded = PaddedTargets.of(targets, torch.device("cpu"))
    (match,) = HungarianMatcher("focal", cost_class=2.0)(
        [(output.logits[None], output.boxes[None])], [padded]
    )
    return match


def test_it_is_the_equation():
    """-q^γ log p - (1 - q^γ) log(1 - p) for a matched class, else -p^γ log(1 - p); one at a time."""
    output, targets = an_output("focal"), two_targets()
    match = matches(output, targets)
    matched = {
        (int(i), int(q)): int(t) for i, q, t in zip(match.image, match.query, match.target, strict=True)
    }
    expected = 0.0
    for image in range(2):
        for query in range(6):
            for label in range(4):
                p = output.logits[image, query, label].double().sigmoid()
                target = matched.get((image, query))
                if target is not None and targets[image]["labels"][target] == label:
                    boxes = output.boxes[image, query][None], targets[image]["boxes"][target][None]
                    q = float(box_iou(*(box_convert(b, "cxcywh", "xyxy") for b in boxes))) ** 1.5
                    expected -= float(q * p.log() + (1 - q) * (1 - p).log())
                else:
                    expected -= float(p**1.5 * (1 - p).log())
    found = criterion()(output, targets)["loss_ce"]
    torch.testing.assert_close(found, torch.tensor(expected / 2), rtol=1e-5, atol=0)


@pytest.mark.parametrize("gamma", [1.5, 2.0])
def test_value_and_gradient_are_those_of_transformers(gamma):
    peer = pytest.importorskip("transformers.loss.loss_deimv2").Deimv2Loss
    ours, theirs = (torch.randn(2, 6, 4).requires_grad_() for _ in range(2))
    theirs.data.copy_(ours.data)
    output, targets = an_output("focal")._replace(logits=ours), two_targets()
    match = matches(output, targets)
    indices = [(match.query[match.image == i], match.target[match.image == i]) for i in range(2)]
    self = SimpleNamespace(
        num_classes=4,
        gamma=gamma,
        mal_alpha=None,
        _get_source_permutation_idx=lambda _: (match.image, match.query),
    )
    labelled = [{"class_labels": t["labels"], "boxes": t["boxes"]} for t in targets]
    expected = peer.loss_labels_mal(
        self, {"logits": theirs, "pred_boxes": output.boxes}, labelled, indices, 2
    )
    found = criterion(MatchabilityAwareLoss(gamma))(output, targets)["loss_ce"]
    torch.testing.assert_close(found, expected["loss_mal"], rtol=1e-5, atol=0)
    found.backward(), expected["loss_mal"].backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8)


def test_a_match_with_a_poor_box_is_taught_more_than_by_varifocal_loss():
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.65, 0.65, 0.2, 0.2]])}  # IoU 0.03
    slopes = []
    for loss in (MatchabilityAwareLoss(), VarifocalLoss()):
        logits = torch.zeros(1, 1, 1, requires_grad=True)
        criterion(loss)(an_output("focal")._replace(logits=logits, boxes=boxes), [target])[
            "loss_ce"
        ].backward()
        slopes.append(float(logits.grad.abs()))
    assert slopes[0] > 10 * slopes[1]


def test_an_image_without_objects_has_a_finite_loss():
    output = an_output("focal")
    loss = criterion()(output, [two_targets()[0]] * 2)["loss_ce"]
    p = output.logits.sigmoid()
    torch.testing.assert_close(loss, -(p**1.5 * torch.log1p(-p)).sum(), rtol=1e-5, atol=0)
