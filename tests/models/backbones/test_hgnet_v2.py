"""HGNetv2: timm's networks of the same names, number for number; strides, frozen parts, what is refused."""

import pytest
import torch
from torch import nn

from detr_kit.errors import InputError
from detr_kit.models import HGNetv2
from detr_kit.models.backbones.hgnet_v2 import VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_it_is_timms(variant):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(f"hgnetv2_{variant.lower()}", features_only=True).eval()
    state = {key.replace("stages_", "stages."): tensor for key, tensor in theirs.state_dict().items()}
    for tensor in state.values():
        if tensor.is_floating_point() and tensor.ndim == 1:  # norms and affine steps that do something
            tensor.uniform_(0.5, 1.5)
    ours = HGNetv2(variant, strides=(4, 8, 16, 32)).eval()
    ours.load_state_dict(state)
    images = torch.randn(1, 3, 65, 96)
    for found, expected in zip(ours(images), theirs(images), strict=True):
        assert torch.equal(found, expected)


def test_strides_and_channels():
    network = HGNetv2("B0", strides=(16, 32)).eval()
    maps = network(torch.randn(1, 3, 97, 130))
    assert [m.shape[1] for m in maps] == network.out_channels == [512, 1024]
    assert [tuple(m.shape[-2:]) for m in maps] == [(7, 9), (4, 5)]


def test_stages_that_are_not_needed_are_not_built():
    assert len(HGNetv2("B0", strides=(8,)).stages) == 2


def test_frozen_parts_and_norms():
    frozen = HGNetv2("B0", frozen_stages=1).train()
    assert not any(p.requires_grad for p in (*frozen.stem.parameters(), *frozen.stages[0].parameters()))
    assert all(p.requires_grad for p in frozen.stages[1].parameters())
    assert not frozen.stages[0].blocks[0].layers[0].bn.training
    assert frozen.stages[1].blocks[0].layers[0].bn.training
    no_statistics = HGNetv2("B4", norm="frozen", frozen_stages=0)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in no_statistics.modules())


@pytest.mark.parametrize(
    "wrong", [dict(variant="B7"), dict(strides=(7,)), dict(strides=()), dict(frozen_stages=5), dict(norm="x")]
)
def test_wrong_arguments_are_named(wrong):
    (field,) = wrong
    with pytest.raises(InputError, match=f"HGNetv2: {field}="):
        HGNetv2(**wrong)


def test_statistics_are_not_counted_twice():
    with pytest.raises(InputError, match='norm="batch" counts its statistics twice'):
        HGNetv2(checkpointing=True)


def test_weights_come_from_a_file(tmp_path):
    source = HGNetv2("B0")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    loaded = HGNetv2("B0", strides=(8,), weights=str(tmp_path / "weights.pth"))
    assert torch.equal(loaded.stem.stem1.conv.weight, source.stem.stem1.conv.weight)
    with pytest.raises(InputError, match="do not fit HGNetv2-B1"):
        HGNetv2("B1", weights=str(tmp_path / "weights.pth"))
