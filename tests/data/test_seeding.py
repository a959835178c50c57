"""Random numbers that belong to one sample."""

import torch

from detr_kit.data.seeding import mix_seeds, seeded


def test_seeds_of_neighbours_are_unrelated_and_generators_are_put_back():
    assert len({mix_seeds(a, b) for a in range(50) for b in range(50)}) == 2500
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    with seeded(7):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), wanted)
    with seeded(7):
        assert torch.equal(torch.rand(3), inside)
