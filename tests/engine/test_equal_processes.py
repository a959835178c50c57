"""Two processes learn what one would of both batches, whatever the network, and none waits for the other."""

import datetime

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch import nn

from detr_kit.config import read_config
from detr_kit.engine import TrainableDetector
from detr_kit.models.queries.denoising import Noise
from detr_kit.structures import ImageBatch, Target

from ..forks import FORKS
from ..places import SMALL
from ..small_models import shake

KINDS = list(SMALL)
# Objects in each image of a batch of four, of which either process has two. There are as many groups to be
# denoised as fit beside the fullest image of a process: where gradients are compared that has three in both.
BATCHES = {"compared": (3, 1, 3, 2), "no object in one": (3, 1, 0, 0)}


def make_model(kind):
    """Without what processes do not share: batch statistics."""
    torch.manual_seed(0)
    config = read_config(SMALL[kind]).model.to_dict()
    del config["type"]
    model = TrainableDetector(**config)
    shake(model.network)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    if getattr(model.network, "denoising", None) is not None:
        model.network.denoising.draw = draw
    return model


def draw(batch, count, num_classes, device):
    """The same numbers for every image."""
    r = torch.Generator().manual_seed(2)
    shape = (1, count)
    numbers = Noise(
        torch.rand(shape, generator=r),
        torch.randint(num_classes, shape, generator=r),
        torch.randint(2, (*shape, 4), generator=r) * 2.0 - 1,
        torch.rand((*shape, 4), generator=r),
    )
    return Noise(*(part.expand(batch, *part.shape[1:]) for part in numbers))


def make_batch(counts, images=slice(None)):
    r = torch.Generator().manual_seed(1)
    pixels = torch.randn(len(counts), 3, 64, 64, generator=r)
    targets = [
        Target(
            torch.randint(5, (count,), generator=r),
            0.3 + 0.3 * torch.rand(count, 4, generator=r),
            (64, 64),
            (64, 64),
        )
        for count in counts
    ]
    mask = torch.zeros(len(counts), 64, 64, dtype=torch.bool)
    return ImageBatch(pixels[images], mask[images], targets[images])


def gradients(model, batch):
    model.zero_grad()
    losses = model(batch, mode="loss")
    sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return {name.removeprefix("module."): parameter.grad.clone() for name, parameter in trained}


def one_of_two(rank, folder):
    """A process: the gradients of each kind for either batch."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60)
    )
    for kind in KINDS:
        model = MMDistributedDataParallel(make_model(kind), broadcast_buffers=False)
        half = slice(2 * rank, 2 * rank + 2)
        # A process that still waits for a gradient of one batch refuses the next.
        found = {name: gradients(model, make_batch(BATCHES[name], half)) for name in reversed(BATCHES)}
        torch.save(found, folder / f"{kind}_{rank}.pth")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """What both processes found, for each kind that they came to."""
    folder = tmp_path_factory.mktemp("two")
    processes = [FORKS.Process(target=one_of_two, args=(rank, folder)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        process.kill()
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_one_process_with_both_batches(kind, of_two):
    first, second = (torch.load(of_two / f"{kind}_{rank}.pth")["compared"] for rank in (0, 1))
    expected = gradients(make_model(kind), make_batch(BATCHES["compared"]))
    assert first.keys() == expected.keys()
    largest = max(gradient.norm() for gradient in expected.values())
    for name, gradient in expected.items():
        assert torch.equal(first[name], second[name]), name
        # Some are zero up to rounding: of the order of the sums is what is left.
        scale = max(gradient.norm(), 1e-4 * largest)
        assert (first[name] - gradient).norm() <= 1e-4 * scale, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_without_objects_learns_with_the_other(kind, of_two):
    first, second = (torch.load(of_two / f"{kind}_{rank}.pth")["no object in one"] for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(gradient.isfinite().all() for gradient in first.values())
    assert any(gradient.abs().max() > 0 for gradient in first.values())
