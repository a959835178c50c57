"""Networks that denoise: what the targets may be, who sees what, and what training needs beside."""

import pytest
import torch

from detr_kit import build_network
from detr_kit.losses import criterion_for
from detr_kit.structures import Target

from ..places import SMALL

NAMES = ["DINO", "DN-DETR", "DN-Deformable DETR"]


@pytest.fixture(params=NAMES)
def network(request):
    torch.manual_seed(0)
    network = build_network(SMALL[request.param])
    for module in network.modules():  # whose statistics would depend on the order of the calls
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    return network


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64)


def _target(count, seed=0):
    r = torch.Generator().manual_seed(seed)
    boxes = 0.2 + 0.3 * torch.rand(count, 4, generator=r)
    return Target(torch.randint(5, (count,), generator=r), boxes, (64, 64), (64, 64))


@pytest.mark.parametrize("counts", [(0, 0), (3, 0), (0, 1), (40, 2)])
def test_any_number_of_objects_trains(network, images, counts):
    """None at all, none in one image, more than there are queries (12) or denoising queries (8)."""
    targets = [_target(count, i) for i, count in enumerate(counts)]
    criterion = criterion_for(network)
    output = network(images, None, targets)
    losses = criterion(output, targets)
    total = sum(criterion.weighted(losses).values())
    total.backward()
    assert total.isfinite()
    assert len(output.denoising.matches.image) == output.denoising.num_groups * sum(counts)
    # With others the processes of a run would wait for gradients that never come.
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_without_targets_it_trains_all_the_same(network, images):
    output = network(images)
    assert output.denoising.layers[-1][0].shape == (2, 0, 5)
    assert output.logits.shape == (2, 12, 5)


def test_in_evaluation_targets_are_not_read(network, images):
    network.eval()
    with torch.no_grad():
        output, plain = network(images, None, [_target(3), _target(2)]), network(images)
    assert output.denoising is None
    assert torch.equal(output.boxes, plain.boxes)


def test_the_other_queries_learn_nothing_of_the_answers(network, images):
    with torch.no_grad():
        outputs = [network(images, None, [_target(3, seed), _target(2, seed + 1)]) for seed in (0, 5)]
        outputs.append(network(images))
    assert (outputs[0].denoising.layers[-1][1] - outputs[1].denoising.layers[-1][1]).abs().max() > 1e-4
    for other in outputs[1:]:
        torch.testing.assert_close(other.logits, outputs[0].logits, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(other.boxes, outputs[0].boxes, atol=1e-5, rtol=1e-4)


def test_denoising_teaches(network, images):
    """In a few steps on two images it puts right what it is given."""
    targets = [_target(3, 0), _target(2, 1)]
    criterion = criterion_for(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    found = []
    for _ in range(12):
        losses = criterion(network(images, None, targets), targets)
        optimiser.zero_grad()
        sum(criterion.weighted(losses).values()).backward()
        optimiser.step()
        found.append(losses["loss_ce_dn"].item() + losses["loss_bbox_dn"].item())
    assert sum(found[-4:]) < sum(found[:4])


def test_checkpointing_gives_the_same_gradients(network, images):
    targets = [_target(3, 0), _target(2, 1)]
    grads = []
    for checkpointing in (False, True):
        network.transformer.checkpointing = checkpointing
        network.zero_grad()
        torch.manual_seed(1)
        criterion = criterion_for(network)
        sum(criterion.weighted(criterion(network(images, None, targets), targets)).values()).backward()
        grads.append([p.grad.clone() for p in network.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_half_precision_stops_at_boxes_and_scores(network, images):
    targets = [_target(3, 0), _target(0)]
    criterion = criterion_for(network)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images, None, targets)
        losses = criterion(output, targets)
    sum(criterion.weighted(losses).values()).backward()
    for logits, boxes in [(output.logits, output.boxes), *output.auxiliary, *output.denoising.layers]:
        assert (logits.dtype, boxes.dtype) == (torch.float32, torch.float32)
    assert all(loss.isfinite() for loss in losses.values())


def test_a_padding_mask_without_padding_changes_nothing(network, images):
    network.eval()
    with torch.no_grad():
        masked = network(images, torch.zeros(2, 64, 64, dtype=torch.bool))
        plain = network(images)
    torch.testing.assert_close(masked.boxes, plain.boxes)
    torch.testing.assert_close(masked.logits, plain.logits, atol=1e-5, rtol=1e-5)


def test_an_image_with_fewer_pixels_than_queries():
    network = build_network(SMALL["DINO"], num_queries=100).eval()
    with torch.no_grad():
        output = network(torch.randn(1, 3, 48, 40))  # 6 × 5 and 3 × 3 pixels of the memory
    assert output.boxes.shape == (1, 39, 4)
    assert output.boxes.isfinite().all()
