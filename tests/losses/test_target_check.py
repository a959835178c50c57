"""Targets that a loop of one's own gets wrong are one error, not a run that learns nonsense."""

import pytest
import torch

from detr_kit.errors import InputError
from detr_kit.losses import HungarianMatcher, SetCriterion
from detr_kit.structures import Target

from .made_up import an_output, two_targets


@pytest.mark.parametrize("kind", ["softmax", "focal"])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (two_targets(labels=(0, 9)), r"image 1 .*object 1: label 9, .* classes 0 … [23]; .*num_classes"),
        (two_targets(labels=(-1, 0)), "object 0: label -1"),
        (two_targets(boxes=((0.5, 0.5, 0.2, 0.2), (320.0, 200, 64, 50))), r"\[320, 200, 64, 50\].*divide"),
        (two_targets(boxes=((0.5, -0.2, 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))), r"object 0: box \[0.5, -0.2"),
        (two_targets(boxes=((0.5, 0.5, 0.0, 0.2), (0.5, 0.5, 0.1, 0.1))), "has no area"),
        (two_targets(boxes=((0.5, 0.5, 0.2, 0.2), (0.6, 0.6, 0.1, -0.1))), r"object 1: .*not in \[0, 1\]"),
        (two_targets(boxes=((0.5, float("nan"), 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))), "is not finite"),
        (two_targets(boxes=((0.5, float("inf"), 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))), "is not finite"),
        (two_targets(labels=(0.0, 1.0)), r"'labels' is float32 of shape \(2,\); give whole numbers"),
        (two_targets(labels=((0, 1),)), r"'labels' is int64 of shape \(1, 2\)"),
        (two_targets(labels=(0,)), r"'boxes' is float32 of shape \(2, 4\) beside 1 labels"),
        (two_targets(boxes=((0.5, 0.5, 0.2, 0.2, 1.0),) * 2), r"shape \(2, 5\)"),
        (two_targets()[1:], "1 targets for 2 images"),
        ([{"labels": torch.zeros(0)}, two_targets()[1]], "image 0 of the batch: no 'boxes'; it has labels"),
        ([{"labels": [0], "boxes": [[0.5] * 4]}, two_targets()[1]], "'labels' is a list; give a tensor"),
    ],
    ids=[
        "label too large", "label below 0", "pixels", "centre outside", "no area", "negative height", "nan",
        "inf", "float labels", "matrix of labels", "more boxes than labels", "five numbers",
        "one target too few", "no boxes", "lists",
    ],
)  # fmt: skip
def test_targets_that_cannot_be_are_one_error_with_the_value(kind, targets, message):
    criterion = SetCriterion(HungarianMatcher(kind))
    with pytest.raises(InputError, match=message):
        criterion(an_output(kind), targets)


def test_the_last_class_is_no_label_where_it_is_no_object():
    SetCriterion(HungarianMatcher("focal"))(an_output("focal", classes=3), two_targets())
    with pytest.raises(InputError, match="label 2, and the network has the classes 0 … 1"):
        SetCriterion(HungarianMatcher("softmax"))(an_output("softmax", classes=3), two_targets())


def test_the_message_names_the_picture_where_the_target_does():
    targets = [Target(torch.tensor([7]), torch.tensor([[0.5] * 4]), (9, 9), (9, 9), path="a/b.jpg")] * 2
    with pytest.raises(InputError, match=r"image 0 of the batch \(a/b.jpg\), object 0: label 7"):
        SetCriterion(HungarianMatcher("focal"))(an_output(), targets)


def test_rounding_is_no_mistake():
    boxes = ((0.5, 0.5, 1.000001, 1.0), (0.0, 1.0000004, 0.1, 0.1))
    losses = SetCriterion(HungarianMatcher("focal"))(an_output(), two_targets(boxes=boxes))
    assert losses["loss_bbox"].isfinite()
