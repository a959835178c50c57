"""Training with channels last: the same maps up to rounding, in another order of memory."""

import pytest
import torch

from detr_kit.config import read_config
from detr_kit.data.normalize import normalize_batch
from detr_kit.engine.trainable_detector import TrainableDetector
from detr_kit.structures import ImageBatch, Target

from ..places import TINY_D_FINE, TINY_RT_DETR


def trainable(config, channels_last):
    model = {k: v for k, v in read_config(config).model.to_dict().items() if k != "type"}
    return TrainableDetector(**model | {"channels_last": channels_last}).train()


def batch():
    r = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=r)
    boxes = torch.tensor([[0.4, 0.5, 0.3, 0.4]])
    targets = [Target(torch.tensor([c]), boxes, (64, 96), (64, 96)) for c in (0, 3)]
    return normalize_batch(ImageBatch(images, torch.zeros(2, 64, 96, dtype=torch.bool), targets))


@pytest.mark.parametrize("config", [TINY_RT_DETR, TINY_D_FINE], ids=["RT-DETR", "D-FINE"])
def test_maps_and_gradients_are_the_same(config):
    levels, gradients = [], []
    models = [trainable(config, channels_last) for channels_last in (False, True)]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        handle = model.network.neck.register_forward_hook(lambda module, inputs, found: levels.append(found))
        losses = model(batch(), mode="loss")
        assert all(torch.isfinite(loss).all() for loss in losses.values())
        handle.remove()
        # Of the maps alone: which of two pixels with one score becomes a query is a matter of rounding.
        sum(level.square().mean() for level in levels[-1]).backward()
        gradients.append({n: p.grad for n, p in model.network.named_parameters() if p.grad is not None})
    for usual, other in zip(*levels, strict=True):
        torch.testing.assert_close(other, usual, atol=1e-4, rtol=1e-4)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert (gradients[1][name] - gradient).norm() <= 1e-2 * gradient.norm() + 1e-6, name


def test_weights_are_laid_out_so_and_stay_so_when_others_are_loaded():
    model = trainable(TINY_RT_DETR, True)
    model.load_state_dict(trainable(TINY_RT_DETR, False).state_dict())
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert not all(weight.is_contiguous() for weight in weights)
