"""Configs find our classes, and know what their arguments mean."""

import pytest
import torch

from detr_kit.registry import MODELS, without_pretrained


@MODELS.register_module()
class BackboneWithWeights(torch.nn.Module):
    def __init__(self, weights="DEFAULT"):
        super().__init__()


@MODELS.register_module()
class BackboneAsTimm(torch.nn.Module):
    def __init__(self, pretrained=True):
        super().__init__()


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        (dict(type="ResNet", depth=18, weights="X"), dict(type="ResNet", depth=18, weights=None)),
        (dict(type="BackboneWithWeights"), dict(type="BackboneWithWeights", weights=None)),
        (dict(type="BackboneAsTimm", pretrained=True), dict(type="BackboneAsTimm", pretrained=False)),
        (dict(type="ChannelMapper"), dict(type="ChannelMapper")),
        (None, None),
    ],
)
def test_only_a_backbone_that_takes_weights_is_told_to_do_without(backbone, expected):
    network = {"backbone": backbone}
    without_pretrained(network)
    assert network == {"backbone": expected}
    without_pretrained({})
