"""Denoising queries: those of the original code, number for number, and of batches that peers fall over."""

import pytest
import torch

from detr_kit.errors import InputError
from detr_kit.losses import FocalLoss, HungarianMatcher, SetCriterion
from detr_kit.models.layers.attention import MultiheadAttention
from detr_kit.models.layers.precision import inverse_sigmoid
from detr_kit.models.queries.contrastive_denoising import ContrastiveDenoising
from detr_kit.models.queries.denoising import Denoising
from detr_kit.structures import DetectorOutput, Target

from ...parity.reference_model import Reference, targets
from .pinned_noise import pin_noise

CPU = torch.device("cpu")
# How each original makes them, the eps of its inverse sigmoid, and in which order it draws.
ORIGINALS = {
    "dino_4scale_r50_dn": (ContrastiveDenoising(100, box_noise=0.4), 91, 1e-3, "flat"),
    "rtdetr_r18_dn": (ContrastiveDenoising(100, padding_box=0), 80, 1e-5, "padded"),
    "dfine_s_dn": (ContrastiveDenoising(100, padding_box=0, swap_crossed=True), 80, 1e-5, "padded"),
    "dn_detr_r50_dn": (Denoising(num_groups=5), 91, 1e-3, "flat, unsigned"),
}


def a_target(labels, seed=0):
    boxes = 0.2 + 0.3 * torch.rand(len(labels), 4, generator=torch.Generator().manual_seed(seed))
    return Target(torch.tensor(labels, dtype=torch.int64), boxes, (100, 100), (100, 100))


def make(denoising, wanted, num_queries=3, num_classes=4):
    return denoising(wanted, num_queries=num_queries, num_classes=num_classes, device=CPU)


@pytest.mark.parametrize("name", ORIGINALS)
def test_queries_are_the_originals(name):
    denoising, num_classes, eps, layout = ORIGINALS[name]
    reference = Reference(name).arrays
    wanted = [{**t, "labels": t["labels"] % num_classes} for t in targets()]
    pin_noise(denoising, layout, [len(t["labels"]) for t in wanted])

    count = reference["logits"].shape[1]
    queries = make(denoising, wanted, num_queries=count, num_classes=num_classes)

    theirs = reference["dn_labels"]
    padding = theirs == (-1 if -1 in theirs else num_classes)
    assert torch.equal(queries.padding, padding)
    assert torch.equal(queries.labels[~padding], theirs[~padding].long())
    assert torch.equal(queries.attention_mask, reference["attn_mask"])
    boxes = inverse_sigmoid(queries.boxes, eps)
    torch.testing.assert_close(boxes, reference["dn_boxes_unsigmoid"], atol=1e-5, rtol=1e-5)
    for image in range(len(wanted)):
        found = reference.get(f"dn_positive{image}")
        if found is not None:
            ours = queries.matches.query[queries.matches.image == image]
            assert sorted(ours.tolist()) == sorted(found.tolist())


def test_positives_answer_for_their_own_object_and_negatives_for_none():
    wanted = [a_target([0, 1, 2]), a_target([3], seed=1)]
    queries = make(ContrastiveDenoising(num_groups=2, label_noise=0, box_noise=0.0), wanted)

    image, query, target = queries.matches
    assert sorted(zip(image.tolist(), query.tolist(), target.tolist(), strict=True)) == [
        (0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 6, 0), (0, 7, 1), (0, 8, 2), (1, 0, 0), (1, 6, 0),
    ]  # fmt: skip
    for i, q, t in zip(image, query, target, strict=True):
        assert queries.labels[i, q] == wanted[i].labels[t]
        torch.testing.assert_close(queries.boxes[i, q], wanted[i].boxes[t])


def test_positives_are_nearer_than_negatives():
    wanted = [Target(torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.2, 0.2]]), (1, 1), (1, 1))]
    queries = make(ContrastiveDenoising(num_groups=500), wanted)

    half = queries.boxes[0, :, 2:] / 2
    corners = torch.cat((queries.boxes[0, :, :2] - half, queries.boxes[0, :, :2] + half), dim=-1)
    off = (corners - torch.tensor([0.4, 0.4, 0.6, 0.6])).abs().view(500, 2, 4)
    # One whose corners would cross has no side, and its middle is where they would have met.
    whole = (queries.boxes[0, :, 2:] > 0).all(-1).view(500, 2)
    assert (off[:, 0] <= 0.1 + 1e-6).all()
    assert (off[:, 1][whole[:, 1]] >= 0.1 - 1e-6).all()
    assert off[:, 1].max() > 0.15


def test_labels_change_as_often_as_wanted():
    queries = make(Denoising(num_groups=2000, label_noise=0.5), [a_target([1, 2])], num_classes=1000)

    changed = queries.labels[0] != torch.tensor([1, 2]).repeat(2000)
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("objects", "groups"), [(1, 100), (3, 33), (60, 1), (250, 1)])
def test_groups_are_as_many_as_fit(objects, groups):
    queries = make(ContrastiveDenoising(100), [a_target([0] * objects), a_target([])])

    assert queries.num_groups == groups
    assert queries.labels.shape == (2, 2 * groups * objects)
    assert queries.padding[1].all()
    assert len(queries.matches.image) == groups * objects


@pytest.mark.parametrize(
    "denoising", [ContrastiveDenoising(100), Denoising(num_groups=5)], ids=["contrastive", "plain"]
)
def test_a_batch_without_objects_has_no_queries_and_a_loss_of_zero(denoising):
    empty = [a_target([]), a_target([])]
    queries = make(denoising, empty)
    assert queries.labels.shape == (2, 0)
    assert not queries.attention_mask.any()

    table = torch.nn.Embedding(5, 8)
    content = table(queries.labels)
    attention = MultiheadAttention(8, 2)
    others = torch.randn(2, 3, 8)
    x = torch.cat((content, others), dim=1)
    x = attention(x, x, x, attention_mask=queries.attention_mask)
    torch.testing.assert_close(x, attention(others, others, others))
    layers = [(x[..., :4], x[..., 4:].sigmoid())] * 2
    noisy, layers = queries.split(layers)
    output = DetectorOutput(*layers[-1], layers[:-1], classification="focal", denoising=noisy)
    losses = SetCriterion(HungarianMatcher("focal"), FocalLoss())(output, empty)

    assert losses["loss_ce_dn"] == losses["loss_bbox_dn_0"] == 0
    sum(losses.values()).backward()
    # Every process has the same parameters with a gradient, so that none waits for another.
    assert torch.equal(table.weight.grad, torch.zeros(5, 8))


def test_groups_do_not_see_each_other_and_nobody_sees_the_answers():
    queries = make(ContrastiveDenoising(num_groups=2), [a_target([0])], num_queries=2)

    assert (~queries.attention_mask).int().tolist() == [
        [1, 1, 0, 0, 1, 1],
        [1, 1, 0, 0, 1, 1],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1],
    ]


def test_attention_keeps_to_the_mask():
    torch.manual_seed(0)
    attention = MultiheadAttention(8, 2).eval()
    x, mask = torch.randn(2, 6, 8), torch.zeros(6, 6, dtype=torch.bool)
    mask[2:, :2] = True
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 5] = True

    seen = attention(x, x, x, padding, mask)

    torch.testing.assert_close(seen[0, 2:], attention(x[:1, 2:], x[:1, 2:], x[:1, 2:])[0])
    torch.testing.assert_close(seen[1, 2:], attention(x[1:, 2:], x[1:, 2:5], x[1:, 2:5])[0])


def test_under_autocast_boxes_stay_float32():
    wanted = [a_target([0, 1])]
    torch.manual_seed(0)
    plain = make(ContrastiveDenoising(10), wanted)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = make(ContrastiveDenoising(10), wanted)

    assert cast.boxes.dtype == torch.float32
    assert torch.equal(cast.boxes, plain.boxes)


def test_compiles_without_a_break_and_not_anew_for_each_number_of_objects():
    compiled_graphs = []

    def backend(graph, inputs):
        compiled_graphs.append(graph)
        return graph.forward

    def summed(*wanted):
        queries = make(
            ContrastiveDenoising(10), [{"labels": labels, "boxes": boxes} for labels, boxes in wanted]
        )
        return queries.boxes.sum() + queries.attention_mask.sum() + queries.matches.query.sum()

    compiled = torch.compile(summed, fullgraph=True, backend=backend)
    for counts in ((2, 3), (3, 4), (4, 7), (6, 2), (5, 8)):
        wanted = [(t.labels, t.boxes) for t in (a_target([0] * count) for count in counts)]
        torch.manual_seed(0)
        eager = summed(*wanted)
        torch.manual_seed(0)
        torch.testing.assert_close(compiled(*wanted), eager)
    assert len(compiled_graphs) < 5


def test_a_label_out_of_range_is_left_to_the_criterion():
    assert make(Denoising(num_groups=1, label_noise=0), [a_target([9])]).labels.tolist() == [[3]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_groups=None, num_denoising=None; give one"),
        ({"num_groups": 2, "num_denoising": 100}, "give one"),
        ({"num_denoising": 0}, "denoising=None"),
        ({"num_groups": 1, "label_noise": 20}, "label_noise=20"),
        ({"num_groups": 1, "box_noise": -1.0}, "box_noise=-1"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        ContrastiveDenoising(**arguments)
