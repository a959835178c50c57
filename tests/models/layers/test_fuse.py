"""A fused copy computes what the network does in evaluation, with fewer layers."""

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from detr_kit.models.backbones.hgnet_v2 import HGNetv2, LearnableAffine
from detr_kit.models.layers.convolution import ConvNorm
from detr_kit.models.layers.fuse import fuse
from detr_kit.models.layers.rep_vgg import CSPRepLayer, RepVGGBlock

MODULES = {
    "RepVGG": lambda: RepVGGBlock(8),
    "CSP": lambda: CSPRepLayer(8, 12, 6, 2),
    "depthwise": lambda: ConvNorm(8, 8, 3, 2, groups=8, activation=nn.SiLU),
    "frozen": lambda: ConvNorm(8, 4, norm=FrozenBatchNorm2d),
    "in a row": lambda: nn.Sequential(
        nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)
    ),
    "norm alone": lambda: nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)),
}


def shaken(module):
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                with torch.no_grad():
                    getattr(child, name).uniform_(0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize("name", MODULES)
@torch.no_grad()
def test_the_copy_computes_the_same(name):
    module = shaken(MODULES[name]())
    x = torch.randn(2, 8, 9, 7)
    expected = module(x)
    fused = fuse(module)
    torch.testing.assert_close(fused(x), expected, atol=1e-4, rtol=1e-4)
    left = any(isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d) for child in fused.modules())
    assert left == (name == "norm alone")
    assert torch.equal(module(x), expected)  # the network itself stays as it is
    torch.testing.assert_close(fuse(fused)(x), expected, atol=1e-4, rtol=1e-4)


def test_repvgg_becomes_one_convolution():
    fused = fuse(shaken(RepVGGBlock(8)).requires_grad_(True))
    fused = fuse(nn.Sequential(shaken(RepVGGBlock(8))))
    (convolution,) = (module for module in fused.modules() if isinstance(module, nn.Conv2d))
    assert convolution.kernel_size == (3, 3)


@pytest.mark.parametrize("scale", [0.7, 0.0, -0.7])
@torch.no_grad()
def test_a_backbones_affine_steps_are_part_of_its_convolutions(scale):
    network = shaken(HGNetv2("B0", strides=(8, 16)))
    for module in network.modules():
        if isinstance(module, LearnableAffine):
            module.scale.fill_(scale)
            module.bias.fill_(0.2)
    assert not any(isinstance(module, LearnableAffine) for module in fuse(network).modules())
    x = torch.randn(1, 3, 64, 64)
    for found, expected in zip(fuse(network)(x), network(x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)
