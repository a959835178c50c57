"""D-FINE's losses on distributions: where edges are, and what the last layer knows better."""

import pytest
import torch

from detr_kit.losses import FineGrainedLoss, HungarianMatcher, SetCriterion
from detr_kit.losses.fine_grained import _between
from detr_kit.models.layers.distribution import bin_distances, edge_distances
from detr_kit.structures import DenoisingOutput, DetectorOutput, Matches

BINS = 8
UP, SCALE = torch.tensor([0.5]), torch.tensor([4.0])
GRID = bin_distances(BINS, UP, SCALE)
TARGET = {"labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.3]])}


def extras(edges, first):
    return {
        "edges": edges,
        "first_boxes": first[None],
        "distances": GRID[None, None, None],
        "scale": SCALE[None, None, None],
    }


def an_output(edges, first=None, boxes=None, denoising=None):
    """edges (N, B, Q, 4 · (BINS + 1)) of N layers whose boxes are all the same."""
    layers, batch, queries, _ = edges.shape
    if first is None:
        first = torch.tensor([0.5, 0.5, 0.22, 0.28]).expand(batch, queries, 4)
    boxes = first if boxes is None else boxes
    logits = torch.linspace(-1, 1, queries * 3).view(1, queries, 3).expand(batch, -1, -1)
    others = [(logits, boxes)] * (layers - 1)
    return DetectorOutput(
        logits, boxes, others, classification="focal", extras=extras(edges, first), denoising=denoising
    )


def losses_of(output, targets=(TARGET,), **settings):
    criterion = SetCriterion(HungarianMatcher("focal"), further=[FineGrainedLoss(**settings)])
    return criterion(output, list(targets))


def uniform(layers=2, queries=1):
    return torch.zeros(layers, 1, queries, 4 * (BINS + 1))


def certain(first, wanted):
    """Logits of two bins, as far from each as the distance says: what FGL teaches."""
    left, share = _between(edge_distances(first[None], wanted[None], SCALE), GRID)
    edges = torch.full((1, 4, BINS + 1), -30.0)
    edges.scatter_(-1, left[..., None], (1 - share).log()[..., None])
    edges.scatter_(-1, left[..., None] + 1, share.log()[..., None])
    return edges.clamp(min=-30).flatten(1)


def test_a_value_lies_between_two_bins():
    values = torch.tensor([-9.0, -4.0, -0.1, 0.0, 0.2, 3.9, 4.0, 9.0])
    left, share = _between(values, GRID)
    inside = (GRID[left] * (1 - share) + GRID[left + 1] * share)[1:-1]
    torch.testing.assert_close(inside, values[1:-1])
    assert (left[0], share[0], left[-1], share[-1]) == (0, 0, BINS - 1, 1)


def test_the_right_distribution_costs_least():
    first = torch.tensor([0.5, 0.5, 0.22, 0.28])
    right = certain(first, TARGET["boxes"][0]).view(1, 1, 1, -1).expand(2, -1, -1, -1)
    best = losses_of(an_output(right))["loss_fgl"]
    assert best < losses_of(an_output(uniform()))["loss_fgl"]
    assert best < losses_of(an_output(right.roll(1, dims=-1)))["loss_fgl"]


def test_better_boxes_are_taught_more():
    near, far = (torch.tensor([[[0.5, 0.5, *sides]]]) for sides in ((0.21, 0.29), (0.1, 0.15)))
    first = torch.tensor([[[0.5, 0.5, 0.22, 0.28]]])
    of_near, of_far = (losses_of(an_output(uniform(), first, boxes))["loss_fgl"] for boxes in (near, far))
    assert of_near > of_far > 0


def test_earlier_layers_learn_from_the_last_and_the_last_from_none():
    edges = torch.randn(3, 1, 4, 4 * (BINS + 1), requires_grad=True)
    losses = losses_of(an_output(edges))
    assert losses["loss_ddf"] == 0
    assert losses["loss_ddf_0"] > 0
    (losses["loss_ddf_0"] + losses["loss_ddf_1"]).backward()
    assert (edges.grad.flatten(1).abs().sum(1) > 0).tolist() == [True, True, False]


def test_an_equal_layer_has_nothing_to_learn():
    one = torch.randn(1, 1, 4, 4 * (BINS + 1))
    losses = losses_of(an_output(one.repeat(2, 1, 1, 1)))
    assert losses["loss_ddf_0"] == pytest.approx(0, abs=1e-6)


def test_matched_and_others_are_joined_by_the_roots_of_how_many_they_are():
    edges = torch.randn(2, 1, 4, 4 * (BINS + 1))
    whole = losses_of(an_output(edges))["loss_ddf_0"]
    temperature = 5.0
    student, teacher = (e.view(4, 4, -1).div(temperature).log_softmax(-1) for e in edges[:, 0])
    divergence = (teacher.exp() * (teacher - student)).sum(-1) * temperature**2  # (queries, edges)
    output = an_output(edges)
    (match,) = HungarianMatcher("focal")([(output.logits[None], output.boxes[None])], [_padded()])
    query = int(match.query[0])
    weight = output.logits[0].sigmoid().amax(-1)
    iou = (0.2 * 0.28) / (0.2 * 0.3 + 0.22 * 0.28 - 0.2 * 0.28)
    of_matched = iou * divergence[query].mean()
    others = [q for q in range(4) if q != query]
    of_others = (weight[others, None] * divergence[others]).mean()
    roots = torch.tensor([1.0, 3.0]).sqrt()
    expected = (of_matched * roots[0] + of_others * roots[1]) / roots.sum()
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=0)


def _padded():
    from detr_kit.losses.targets import PaddedTargets

    return PaddedTargets.of([TARGET], torch.device("cpu"))


def test_denoising_queries_are_joined_as_the_usual_ones_are():
    """Their own numbers would change with the denoising; the original code keeps those of the usual ones."""
    noisy = torch.randn(2, 1, 6, 4 * (BINS + 1))
    first = torch.tensor([0.5, 0.5, 0.22, 0.28]).expand(1, 6, 4)
    layer = (torch.zeros(1, 6, 3), first)
    matches = Matches(torch.tensor([0]), torch.tensor([2]), torch.tensor([0]))
    denoising = DenoisingOutput([layer, layer], matches, 1, extras(noisy, first))
    few, many = (
        losses_of(an_output(torch.randn(2, 1, queries, 4 * (BINS + 1)), denoising=denoising))["loss_ddf_dn_0"]
        for queries in (2, 50)
    )
    assert few != many


def test_a_group_without_edges_has_neither():
    output = an_output(uniform())
    losses = losses_of(output._replace(initial=(output.logits, output.boxes), extras=None))
    assert not any("fgl" in name or "ddf" in name for name in losses)


@pytest.mark.parametrize(
    "targets", [[{"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}]]
)
def test_without_objects_there_is_nothing_to_localise(targets):
    losses = losses_of(an_output(torch.randn(2, 1, 3, 4 * (BINS + 1))), targets)
    assert losses["loss_fgl"] == 0
    assert losses["loss_ddf_0"].isfinite()


def test_coefficients_are_given():
    output = an_output(torch.randn(2, 1, 3, 4 * (BINS + 1)))
    criterion = SetCriterion(HungarianMatcher("focal"), further=[FineGrainedLoss(0.5, 2.0)])
    losses = criterion(output, [TARGET])
    weighted = criterion.weighted(losses)
    assert weighted["loss_fgl"] == 0.5 * losses["loss_fgl"]
    assert weighted["loss_ddf_0"] == 2 * losses["loss_ddf_0"]
