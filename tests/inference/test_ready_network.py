"""The copy that the Detector and `detr-kit test` run: the same outputs, sooner."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from detr_kit.inference.onednn import ConvActivation, LinearActivation, ResidualBlock
from detr_kit.inference.ready_network import ready_network
from detr_kit.models.layers.clamp import Clamp


@pytest.fixture(params=[(1, 96, 128), (2, 65, 97)], ids=str)
def images(request):
    batch, height, width = request.param
    return torch.randn(batch, 3, height, width)


def test_it_gives_what_the_network_gives(small_detector, images):
    network = small_detector.network
    ready = ready_network(network)
    with torch.inference_mode():
        expected, found, again = network(images), ready(images, None), ready(images, None)
    for name in ("logits", "boxes"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-4, rtol=1e-4)
        assert torch.equal(getattr(found, name), getattr(again, name))  # from what was kept


def test_it_leaves_the_network_alone(small_detector, images):
    network = small_detector.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ready = ready_network(network)
    with torch.inference_mode():
        ready(images, None)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="a torch without oneDNN")
def test_activations_are_part_of_what_comes_before_them(small_detector):
    ready = ready_network(small_detector.network)
    kinds = {type(module) for module in ready.modules()}
    assert not kinds & {BasicBlock, nn.SiLU, Clamp}
    assert kinds & {ConvActivation, LinearActivation, ResidualBlock}
    for_a_compiler = ready_network(small_detector.network, keeps=False)
    assert not {type(module) for module in for_a_compiler.modules()} & {LinearActivation, ResidualBlock}


def test_it_runs_under_autocast(small_detector, images):
    """As a validation loop with fp16=True has it."""
    ready = ready_network(small_detector.network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected, found = small_detector.network(images), ready(images, None)
    if found.encoder is None:
        torch.testing.assert_close(found.boxes.float(), expected.boxes.float(), atol=0.1, rtol=0)
    else:  # which pixels become queries is a matter of rounding
        assert found.boxes.shape == expected.boxes.shape
        assert ((found.boxes >= 0) & (found.boxes <= 1)).all()
