"""The backbone: strides, stages, frozen parts, and weights of torchvision and Caffe."""

import pytest
import torch
from torch import nn

from detr_kit.errors import InputError
from detr_kit.models import ResNet


class TestResNet:
    @pytest.mark.parametrize(("depth", "width"), [(18, 64), (34, 64), (50, 256), (101, 256)])
    def test_strides_and_channels(self, depth, width):
        network = ResNet(depth, strides=(4, 8, 16, 32)).eval()
        maps = network(torch.randn(1, 3, 65, 96))
        assert [m.shape[1] for m in maps] == network.out_channels == [width * 2**i for i in range(4)]
        assert [tuple(m.shape[-2:]) for m in maps] == [(17, 24), (9, 12), (5, 6), (3, 3)]

    def test_stages_that_are_not_needed_are_not_built(self):
        network = ResNet(18, strides=(8,))
        assert not hasattr(network, "layer3")
        assert len(network(torch.randn(1, 3, 64, 64))) == 1

    def test_dilation_keeps_the_stride(self):
        network = ResNet(50, strides=(32,), dilation=True)
        assert network(torch.randn(1, 3, 64, 64))[0].shape[-2:] == (4, 4)
        assert [block.conv2.dilation[0] for block in network.layer4] == [1, 2, 2]
        everywhere = ResNet(50, strides=(32,), dilation="all")
        assert everywhere(torch.randn(1, 3, 64, 64))[0].shape[-2:] == (4, 4)
        assert [block.conv2.dilation[0] for block in everywhere.layer4] == [2, 2, 2]

    def test_caffe_style_moves_the_stride(self):
        network = ResNet(50, style="caffe")
        assert network.layer2[0].conv1.stride == (2, 2)
        assert network.layer2[0].conv2.stride == (1, 1)
        assert ResNet(50).layer2[0].conv1.stride == (1, 1)

    def test_frozen_stages_and_norms(self):
        frozen = ResNet(18, frozen_stages=2, norm="batch").train()
        assert not any(p.requires_grad for p in frozen.layer2.parameters())
        assert all(p.requires_grad for p in frozen.layer3.parameters())
        assert not frozen.layer2[0].bn1.training
        assert frozen.layer3[0].bn1.training
        free = ResNet(18, frozen_stages=-1, norm="frozen").train()
        assert all(p.requires_grad for p in free.parameters())
        assert not any(isinstance(m, nn.BatchNorm2d) for m in free.modules())

    @pytest.mark.parametrize("wrong", [
        dict(depth=49), dict(strides=(7,)), dict(strides=()), dict(frozen_stages=5), dict(norm="group"),
        dict(style="tf"), dict(depth=18, dilation=True), dict(dilation="some"),
    ])  # fmt: skip
    def test_wrong_arguments_are_named(self, wrong):
        field = next(k for k in wrong if k != "depth" or len(wrong) == 1)
        with pytest.raises(InputError, match=f"ResNet: {field}="):
            ResNet(**wrong)

    def test_weights_come_from_a_file(self, tmp_path):
        source = ResNet(18)
        torch.save(source.state_dict(), tmp_path / "weights.pth")
        loaded = ResNet(18, strides=(8,), weights=str(tmp_path / "weights.pth"))
        torch.testing.assert_close(loaded.layer2[1].conv2.weight, source.layer2[1].conv2.weight)

    def test_weights_that_do_not_fit_are_refused(self, tmp_path):
        torch.save(ResNet(18).state_dict(), tmp_path / "weights.pth")
        with pytest.raises(InputError, match="do not fit ResNet-50"):
            ResNet(50, weights=str(tmp_path / "weights.pth"))
        with pytest.raises(InputError, match="no such file"):
            ResNet(50, weights=str(tmp_path / "nowhere.pth"))
        with pytest.raises(InputError, match=r"neither a \.pth or .safetensors file nor a torchvision"):
            ResNet(50, weights="ResNet50_Weights.IMAGENET9")

    def test_without_a_network_the_error_names_the_remedy(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))

        def no_network(*args, **kwargs):
            raise OSError("Name or service not known")

        monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
        with pytest.raises(InputError, match=r"could not be downloaded .* give its path as"):
            ResNet(50, weights="ResNet50_Weights.IMAGENET1K_V1")

    def test_the_real_caffe_weights_load(self, shared):
        path = shared / "weights" / "resnet50_caffe_imagenet_fp16.safetensors"
        network = ResNet(50, style="caffe", weights=str(path)).eval()
        assert network.conv1.weight.dtype == torch.float32
        maps = network(torch.randn(1, 3, 64, 64))
        assert all(m.isfinite().all() and m.std() > 0 for m in maps)


class TestResNetD:
    @pytest.mark.parametrize("depth", [50, 101])
    @torch.no_grad()
    def test_it_is_timms(self, depth):
        timm = pytest.importorskip("timm")
        theirs = timm.create_model(f"resnet{depth}d", features_only=True, out_indices=(2, 3, 4)).eval()
        ours = ResNet(depth, style="d", norm="batch", frozen_stages=-1).eval()
        ours.load_state_dict(theirs.state_dict())
        images = torch.randn(1, 3, 97, 65)
        for found, expected in zip(ours(images), theirs(images), strict=True):
            assert torch.equal(found, expected)

    def test_every_stage_projects_its_first_shortcut(self):
        network = ResNet(18, style="d")
        first, *others = (getattr(network, f"layer{stage}")[0].downsample[0] for stage in range(1, 5))
        assert isinstance(first, nn.Identity)
        for images in (torch.randn(2, 3, 5, 7), torch.randn(2, 3, 6, 4)):
            expected = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)(images)
            assert all(torch.equal(pool(images), expected) for pool in others)

    def test_a_frozen_stem_is_frozen_as_a_whole(self):
        network = ResNet(18, style="d", norm="batch", frozen_stages=0).train()
        assert not any(p.requires_grad for p in (*network.conv1.parameters(), *network.bn1.parameters()))
        assert not network.conv1[1].training

    def test_it_cannot_be_dilated(self):
        with pytest.raises(InputError, match='ResNet: dilation=True; it must be False with style="d"'):
            ResNet(50, style="d", dilation=True)
