"""What any layer was matched with, joined."""

import numpy as np
import torch

from detr_kit.losses import HungarianMatcher, SetCriterion
from detr_kit.losses.union import union_of
from detr_kit.structures import DetectorOutput


def pairs(*rows):
    return np.array(rows, dtype=np.int64).reshape(-1, 3).T


def joined(*layers):
    return [tuple(column) for column in union_of(layers).T.tolist()]


def test_every_pair_is_there_once():
    assert joined(pairs((0, 1, 0), (1, 2, 0)), pairs((0, 3, 0), (1, 2, 0))) == [
        (0, 1, 0), (0, 3, 0), (1, 2, 0),
    ]  # fmt: skip


def test_a_query_keeps_what_most_layers_gave_it():
    assert joined(pairs((0, 1, 0)), pairs((0, 1, 2)), pairs((0, 1, 2))) == [(0, 1, 2)]


def test_of_equally_many_it_keeps_the_first_object():
    assert joined(pairs((0, 1, 2)), pairs((0, 1, 0))) == [(0, 1, 0)]


def test_queries_of_different_images_are_different():
    assert joined(pairs((0, 1, 0)), pairs((1, 1, 3))) == [(0, 1, 0), (1, 1, 3)]


def test_no_pairs_give_none():
    assert joined(pairs(), pairs()) == []


def test_boxes_of_all_layers_answer_for_the_union_and_classes_for_their_own():
    """Layer 0 finds the object with query 0, the last with query 1; in both, both boxes are taught."""
    good, bad = [0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.05, 0.05]
    boxes = torch.tensor([[[good, bad]], [[bad, good]]], requires_grad=True)
    logits = torch.zeros(2, 1, 2, 3)
    output = DetectorOutput(logits[1], boxes[1], [(logits[0], boxes[0])], classification="focal")
    target = {"labels": torch.tensor([1]), "boxes": torch.tensor([good])}
    criterion = SetCriterion(HungarianMatcher("focal"), union=True)
    losses = criterion(output, [target])
    apart = SetCriterion(HungarianMatcher("focal"))(output, [target])
    for name in ("", "_0"):
        # One box of two is off by 0.4 + 0.4 + 0.15 + 0.15; divided by two pairs, not by one object.
        torch.testing.assert_close(losses[f"loss_bbox{name}"], torch.tensor(1.1 / 2))
        assert apart[f"loss_bbox{name}"] == 0
        assert losses[f"loss_ce{name}"] == apart[f"loss_ce{name}"]
    (losses["loss_bbox"] + losses["loss_bbox_0"]).backward()
    assert (boxes.grad.abs().sum(-1) > 0).tolist() == [[[False, True]], [[True, False]]]
