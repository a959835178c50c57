"""Matcher and criterion: right, finite whatever comes, and cheap."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_convert, generalized_box_iou

from detr_kit.losses import HungarianMatcher, SetCriterion
from detr_kit.losses.giou import generalized_iou, pairwise_generalized_iou
from detr_kit.losses.targets import PaddedTargets
from detr_kit.structures import DetectorOutput

from ..engine import faults  # noqa: F401, registers FaultHook

unit = st.floats(0, 1, width=32)
box = st.tuples(unit, unit, unit, unit)


def _output(batch, queries, classes, layers=3, encoder=None):
    def layer(n):
        return torch.randn(batch, n, classes, requires_grad=True), torch.rand(batch, n, 4, requires_grad=True)

    return DetectorOutput(
        *layer(queries),
        auxiliary=[layer(queries) for _ in range(layers - 1)],
        encoder=layer(encoder) if encoder else None,
    )


def _target(n, classes=4):
    return {"labels": torch.randint(classes, (n,)), "boxes": torch.rand(n, 4) * 0.5 + 0.2}


def _criterion(classification):
    return SetCriterion(HungarianMatcher(classification), classification)


@given(st.lists(box, min_size=1, max_size=6), st.lists(box, min_size=1, max_size=6))
def test_giou_equals_torchvision_and_stays_finite(a, b):
    a, b = (box_convert(torch.tensor(boxes), "cxcywh", "xyxy") for boxes in (a, b))
    ours = pairwise_generalized_iou(a[None], b[None])[0]
    assert ours.isfinite().all()
    assert ours.max() <= 1 + 1e-6
    assert ours.min() >= -1 - 1e-6
    has_area = ((a[:, 2:] - a[:, :2]).prod(1) > 1e-4)[:, None] & ((b[:, 2:] - b[:, :2]).prod(1) > 1e-4)
    torch.testing.assert_close(ours[has_area], generalized_box_iou(a, b)[has_area], atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(0, 4), st.sampled_from(["softmax", "focal"]), st.integers(0, 99))
def test_matching_is_the_cheapest_of_all(queries, objects, classification, seed):
    torch.manual_seed(seed)
    matcher = HungarianMatcher(classification)
    logits, boxes = torch.randn(1, 1, queries, 5), torch.rand(1, 1, queries, 4)
    padded = PaddedTargets.of([_target(objects)], logits.device)
    (match,) = matcher([(logits, boxes)], [padded])
    assert len(match.query) == min(queries, objects)
    assert len(set(match.query.tolist())) == len(match.query)
    assert len(set(match.target.tolist())) == len(match.target)
    cost = matcher.cost(logits, boxes, padded)[0, 0]
    found = cost[match.query, match.target].sum().item()
    rows, columns = (range(n) for n in cost.shape)
    short, long = sorted((rows, columns), key=len)
    every = [
        sum(cost[i, j] if len(rows) <= len(columns) else cost[j, i] for i, j in zip(short, p, strict=True))
        for p in itertools.permutations(long, len(short))
    ]
    assert found == pytest.approx(float(min(every)), abs=1e-4)


def test_padding_between_images_is_never_matched():
    output = _output(3, 10, 5)
    padded = PaddedTargets.of([_target(4), _target(0), _target(1)], output.logits.device)
    (match,) = HungarianMatcher("softmax")([(output.logits[None], output.boxes[None])], [padded])
    assert match.image.tolist() == [0, 0, 0, 0, 2]
    assert sorted(match.target[:4].tolist()) == [0, 1, 2, 3]
    assert match.target[4] == 0


def test_all_layers_and_images_cost_one_copy_to_the_host(monkeypatch):
    copies = []
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: copies.append(self.shape) or original(self))
    _criterion("focal")(_output(4, 20, 5, layers=6, encoder=50), [_target(3) for _ in range(4)])
    assert len(copies) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("classification", ["softmax", "focal"])
def test_matching_survives_any_prediction(bad, classification):
    logits, boxes = torch.randn(2, 2, 6, 5), torch.rand(2, 2, 6, 4)
    logits[0, 0, 1] = bad
    boxes[1, 1, 2] = bad
    padded = PaddedTargets.of([_target(3), _target(2)], logits.device)
    matcher = HungarianMatcher(classification)
    assert matcher.cost(logits, boxes, padded).isfinite().all()
    assert [len(m.query) for m in matcher([(logits, boxes)], [padded])] == [5, 5]


@pytest.mark.parametrize("classification", ["softmax", "focal"])
@pytest.mark.parametrize("counts", [(0, 0), (3, 0), (9, 2)], ids=["no object", "one image empty", "too many"])
def test_odd_batches_train(classification, counts):
    output = _output(2, 6, 5, encoder=8)
    criterion = _criterion(classification)
    losses = criterion(output, [_target(n) for n in counts])
    total = sum(criterion.weighted(losses).values())
    total.backward()
    assert all(value.isfinite() for value in losses.values())
    for logits, boxes in [(output.logits, output.boxes), *output.auxiliary, output.encoder]:
        assert logits.grad.isfinite().all()
        # Without an object the boxes get a gradient of zero, not None: every parameter takes part.
        assert boxes.grad.isfinite().all()


def test_a_perfect_prediction_costs_next_to_nothing():
    target = _target(3)
    logits = torch.full((1, 5, 4), -12.0)
    boxes = torch.full((1, 5, 4), 0.01)
    logits[0, [4, 1, 2], target["labels"]] = 12.0
    boxes[0, [4, 1, 2]] = target["boxes"]
    losses = _criterion("focal")(DetectorOutput(logits, boxes, []), [target])
    assert losses["loss_bbox"] < 1e-6
    assert losses["loss_giou"] < 1e-5
    assert losses["loss_ce"] < 1e-4
    assert losses["class_error"] == 0


def test_cross_entropy_weighs_no_object_down():
    logits = torch.zeros(1, 4, 3)  # every class as likely: each cross-entropy is log 3
    logits[0, 0, 0] = 2.0
    target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(1, 4, 4)
    loss = _criterion("softmax")(DetectorOutput(logits, boxes, []), [target])["loss_ce"]
    matched = -torch.log_softmax(torch.tensor([2.0, 0, 0]), 0)[0]
    expected = (matched + 3 * 0.1 * torch.log(torch.tensor(3.0))) / (1 + 3 * 0.1)
    torch.testing.assert_close(loss, expected)


def test_losses_are_float32_under_autocast():
    output = _output(1, 6, 5)
    half = DetectorOutput(output.logits.bfloat16(), output.boxes.bfloat16(), [])
    with torch.autocast("cpu", torch.bfloat16):
        losses = _criterion("focal")(half, [_target(2)])
    assert all(value.dtype == torch.float32 for value in losses.values())


def test_names_and_weights():
    criterion = _criterion("focal")
    losses = criterion(_output(1, 6, 5, layers=3, encoder=9), [_target(2)])
    suffixes = ("", "_0", "_1", "_enc")
    expected = {f"loss_{kind}{s}" for kind in ("ce", "bbox", "giou") for s in suffixes}
    assert set(losses) == expected | {"class_error", "matched_iou", "cardinality_error"}
    weighted = criterion.weighted(losses)
    assert set(weighted) == expected
    torch.testing.assert_close(weighted["loss_bbox_enc"], 5 * losses["loss_bbox_enc"])


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match='not "softmax" or "focal"'):
        HungarianMatcher("sigmoid")
    with pytest.raises(ValueError, match="all three costs are 0"):
        HungarianMatcher("focal", cost_class=0, cost_bbox=0, cost_giou=0)
    with pytest.raises(ValueError, match='not "softmax" or "focal"'):
        SetCriterion(HungarianMatcher("focal"), "bce")


@pytest.mark.parametrize("classification", ["softmax", "focal"])
def test_figures_of_known_predictions(classification):
    """Three queries, two objects: one found exactly, one half covered; the third query is surely nothing."""
    matcher = HungarianMatcher(classification)
    criterion = SetCriterion(matcher, classification)
    boxes = torch.tensor([[[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.1], [0.1, 0.9, 0.1, 0.1]]])
    logits = torch.full((1, 3, 3), -9.0)
    logits[0, 0, 0] = logits[0, 1, 1] = 9.0
    if classification == "softmax":
        logits[0, 2, 2] = 9.0
    targets = [
        {"labels": torch.tensor([0, 1]), "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]])}
    ]
    losses = criterion(DetectorOutput(logits, boxes, []), targets)
    assert losses["matched_iou"].item() == pytest.approx(0.75)
    assert losses["class_error"] == 0
    assert losses["cardinality_error"] == 0
    targets[0] = {"labels": targets[0]["labels"][:1], "boxes": targets[0]["boxes"][:1]}
    losses = criterion(DetectorOutput(logits, boxes, []), targets)
    assert losses["matched_iou"].item() == pytest.approx(1)
    assert losses["cardinality_error"] == 1
    targets[0] = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    losses = criterion(DetectorOutput(logits, boxes, []), targets)
    assert losses["matched_iou"] == 0
    assert losses["cardinality_error"] == 2


def test_a_perfect_box_of_one_pixel_costs_nothing():
    box = torch.tensor([[0.5, 0.5, 0.5 + 1 / 1333, 0.5 + 1 / 800]])
    assert generalized_iou(box, box).item() == pytest.approx(1, abs=1e-4)
