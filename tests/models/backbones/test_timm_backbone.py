"""Networks of timm as backbones: maps, frozen parts, weights, layers, and what cannot be built."""

import pytest
import timm
import torch
from torch import nn

from detr_kit.engine.optim import GroupedOptimWrapperConstructor
from detr_kit.errors import InputError
from detr_kit.models import TimmBackbone

SWIN = dict(strict_img_size=False, always_partition=True)
VIT = dict(dynamic_img_size=True)


@pytest.mark.parametrize(
    ("name", "arguments", "channels", "strides"),
    [
        ("resnet18", {}, [128, 256, 512], (8, 16, 32)),
        ("convnext_atto", dict(strides=(4, 16)), [40, 160], (4, 16)),
        ("swin_tiny_patch4_window7_224", dict(options=SWIN, map_norm=True), [192, 384, 768], (8, 16, 32)),
        ("vit_small_patch14_dinov2", dict(options=VIT, blocks=(5, 11)), [384, 384], (14, 14)),
        ("vit_small_patch16_dinov3", dict(options=VIT, blocks=(11,)), [384], (16,)),
    ],
)
def test_maps_of_images_of_any_size(name, arguments, channels, strides):
    backbone = TimmBackbone(name, **arguments).eval()
    assert (backbone.out_channels, backbone.strides) == (channels, strides)
    for height, width in ((64, 96), (65, 83)):
        with torch.no_grad():
            maps = backbone(torch.randn(1, 3, height, width))
        for found, count, stride in zip(maps, channels, strides, strict=True):
            assert found.shape[:2] == (1, count)
            for length, size in zip(found.shape[2:], (height, width), strict=True):
                assert length in (size // stride, -(-size // stride))


def test_the_maps_are_timms_own():
    backbone = TimmBackbone("convnext_atto").eval()
    peer = timm.create_model("convnext_atto", features_only=True, out_indices=(1, 2, 3)).eval()
    state = backbone.model.state_dict()
    peer.load_state_dict({key: state[key.replace("_", ".", 1)] for key in peer.state_dict()})
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(backbone(images), peer(images), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_windows_of_a_swin_transformer_do_not_wrap_around():
    """The last rows of a map are far from its first, also where windows do not fit."""
    backbone = TimmBackbone("swin_tiny_patch4_window7_224", strides=(4,), options=SWIN).eval()
    peer = timm.create_model("swin_tiny_patch4_window7_224", **SWIN).eval()
    images = torch.randn(1, 3, 100, 56)
    with torch.no_grad():
        before = backbone(images)[0], peer.forward_intermediates(images, intermediates_only=True)[0]
        images[:, :, :4] += 1
        after = backbone(images)[0], peer.forward_intermediates(images, intermediates_only=True)[0]
    assert torch.equal(before[0][:, :, -1], after[0][:, :, -1])
    assert (before[1][:, :, -1] - after[1][:, :, -1]).abs().max() > 1e-3  # timm's own


def test_every_parameter_is_used():
    for name, arguments in (
        ("swin_tiny_patch4_window7_224", dict(options=SWIN, map_norm=True)),
        ("vit_small_patch14_dinov2", dict(options=VIT, blocks=(11,))),
    ):
        backbone = TimmBackbone(name, **arguments)
        sum(m.sum() for m in backbone(torch.randn(1, 3, 56, 56))).backward()
        assert [k for k, p in backbone.named_parameters() if p.grad is None] == []


def test_what_is_frozen_does_not_learn():
    backbone = TimmBackbone("resnet18", frozen=("conv1", "layer1")).train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    learning = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning
    assert all(name.startswith(("model.layer2", "model.layer3", "model.layer4")) for name in learning)
    whole = TimmBackbone("convnext_atto", frozen=("",))
    assert not any(parameter.requires_grad for parameter in whole.parameters())
    trained = TimmBackbone("resnet18", norm="batch")
    assert any(isinstance(module, nn.BatchNorm2d) for module in trained.modules())


def test_weights_come_from_a_file(tmp_path):
    torch.manual_seed(1)
    whole = timm.create_model("resnet18")
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    backbone = TimmBackbone("resnet18", weights=str(tmp_path / "resnet18.pth"))
    assert torch.equal(backbone.model.layer4[1].conv2.weight, whole.layer4[1].conv2.weight)
    with pytest.raises(InputError, match=r"convnext|tensors missing"):
        TimmBackbone("convnext_atto", weights=str(tmp_path / "resnet18.pth"))
    with pytest.raises(InputError, match="no such file"):
        TimmBackbone("resnet18", weights="gone.pth")


def test_checkpointing_changes_nothing():
    torch.manual_seed(0)
    plain = TimmBackbone("convnext_atto")
    frugal = TimmBackbone("convnext_atto", checkpointing=True)
    frugal.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 64, 64)
    for backbone in (plain, frugal):
        sum(m.square().mean() for m in backbone.train()(images)).backward()
    for a, b in zip(plain.parameters(), frugal.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_nothing_is_recomputed_in_evaluation():
    backbone = TimmBackbone("convnext_atto", checkpointing=True)
    assert any(getattr(module, "grad_checkpointing", False) for module in backbone.modules())
    backbone.eval()
    assert not any(getattr(module, "grad_checkpointing", False) for module in backbone.modules())


def test_learning_rates_decay_by_layer():
    network = nn.ModuleDict(
        {"backbone": TimmBackbone("vit_small_patch14_dinov2", blocks=(11,)), "head": nn.Linear(2, 2)}
    )
    make = GroupedOptimWrapperConstructor(
        dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1.0)), dict(layer_decay=0.5)
    )
    groups = make(network).optimizer.param_groups
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    vit = network["backbone"].model
    assert rate[id(network["head"].weight)] == 1
    assert rate[id(vit.blocks[11].mlp.fc1.weight)] == pytest.approx(0.5)
    assert rate[id(vit.blocks[0].mlp.fc1.weight)] == pytest.approx(0.5**12)
    assert rate[id(vit.patch_embed.proj.weight)] <= rate[id(vit.blocks[0].mlp.fc1.weight)]
    with pytest.raises(InputError, match="layer_decay is for a backbone"):
        make(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(name="convnext_tyny"), "no network 'convnext_tyny'; did you mean convnext_tiny"),
        (dict(name="resnet18", strides=(7,)), "maps of the strides 2, 4, 8, 16, 32"),
        (dict(name="vit_small_patch14_dinov2"), r"give blocks=\(…\) in place of strides"),
        (dict(name="resnet18", norm="batch", frozen=("stem",)), "begin with conv1, bn1, layer1"),
        (dict(name="resnet18", options=dict(nope=3)), "correct options and blocks"),
        (dict(name="resnet18", norm="group"), 'it must be "frozen" or "batch"'),
        (dict(name="resnet18", norm="batch", checkpointing=True), "counts its statistics twice"),
    ],
)
def test_what_cannot_be_built_is_said(arguments, message):
    with pytest.raises(InputError, match=message):
        TimmBackbone(**arguments)


def test_weights_that_cannot_be_fetched_are_one_message(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    with pytest.raises(InputError, match=r"of convnext_atto cannot be had \(no network\); set "):
        TimmBackbone("convnext_atto", pretrained=True)
    with pytest.raises(InputError, match=r"of convnext_atto\.nope cannot be had \(Invalid pretrained tag"):
        TimmBackbone("convnext_atto", pretrained="nope")
