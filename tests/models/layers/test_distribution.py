"""Edges as distributions: bins, means, and boxes there and back."""

import torch

from detr_kit.models.layers.distribution import bin_distances, edge_distances, mean_distances, move_edges

UP, SCALE = torch.tensor([0.5]), torch.tensor([4.0])


def test_bins_are_symmetric_rise_and_are_close_together_in_the_middle():
    bins = bin_distances(32, UP, SCALE)
    assert bins.shape == (33,)
    torch.testing.assert_close(bins, -bins.flip(0))
    steps = bins.diff()
    assert (steps > 0).all()
    assert steps[16] < steps[24] < steps[31]
    assert bins[-1] == 2 * 0.5 * 4  # two sides times a


def test_a_certain_edge_lies_in_its_bin():
    bins = bin_distances(8, UP, SCALE)
    edges = torch.full((1, 4, 9), -1e4)
    for edge, bin in enumerate((0, 3, 4, 8)):
        edges[0, edge, bin] = 0
    torch.testing.assert_close(mean_distances(edges.flatten(1), bins)[0], bins[[0, 3, 4, 8]])


def test_edges_that_do_not_move_leave_the_box():
    boxes = torch.rand(5, 4)
    torch.testing.assert_close(move_edges(boxes, torch.zeros(5, 4), SCALE), boxes)


def test_outwards_is_outwards():
    box = torch.tensor([[0.5, 0.5, 0.2, 0.4]])
    moved = move_edges(box, torch.tensor([[1.0, 0, 0, 0]]), SCALE)  # a quarter of a side to the left
    torch.testing.assert_close(moved, torch.tensor([[0.475, 0.5, 0.25, 0.4]]))


def test_distances_lead_to_the_wanted_boxes():
    boxes, wanted = torch.rand(7, 4) + 0.1, torch.rand(7, 4) + 0.1
    torch.testing.assert_close(move_edges(boxes, edge_distances(boxes, wanted, SCALE), SCALE), wanted)


def test_a_box_without_sides_leads_to_finite_distances():
    distances = edge_distances(torch.zeros(1, 4), torch.rand(1, 4), SCALE)
    assert distances.isfinite().all()
