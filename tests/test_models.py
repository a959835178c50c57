"""The networks: sizes to the digit, initialisation, backbones, masks and what is refused."""

import math

import pytest
import torch
from torch import nn

from detr_kit import build_network
from detr_kit.config import config_names
from detr_kit.errors import InputError
from detr_kit.models import ChannelMapper, LearnedPositionEncoding, ResNet, SinePositionEncoding
from detr_kit.models.deformable_transformer import encoder_reference_points
from detr_kit.models.queries.proposals import proposal_anchors
from detr_kit.registry import build

TRAINABLE = {
    "detr_r50": 41_302_368,
    "detr_r50_dc5": 41_302_368,
    "detr_r101": 60_242_272,
    "deformable_detr_r50": 39_847_265,
    "deformable_detr_r50_refine": 40_627_260,
    "deformable_detr_r50_two_stage": 40_959_129,
    "deformable_detr_r50_single_scale": 33_844_193,
}
FROZEN = 222_400  # the stem and layer1, batch norms left out


@pytest.mark.parametrize(("name", "expected"), TRAINABLE.items())
def test_parameter_counts(name, expected):
    parameters = list(build_network(name, num_classes=91).parameters())
    assert sum(p.numel() for p in parameters if p.requires_grad) == expected
    assert sum(p.numel() for p in parameters if not p.requires_grad) == FROZEN


@pytest.mark.parametrize("name", config_names())
def test_every_config_builds_and_detects(name):
    network = build_network(name, num_classes=4, num_queries=7).eval()
    with torch.no_grad():
        output = network(torch.randn(1, 3, 97, 130))
    softmax = name.startswith("detr")
    assert output.logits.shape == (1, 7, 5 if softmax else 4)
    assert output.boxes.shape == (1, 7, 4)
    assert output.boxes.min() >= 0
    assert output.boxes.max() <= 1
    assert len(output.auxiliary) == (2 if "shapes" in name else 5)
    assert (output.encoder is not None) == ("two_stage" in name)


def test_a_mask_without_padding_changes_nothing():
    for name in ("detr_r50", "deformable_detr_r50_two_stage"):
        network = build_network(name, num_queries=5).eval()
        images = torch.randn(2, 3, 96, 64)
        with torch.no_grad():
            with_mask = network(images, torch.zeros(2, 96, 64, dtype=torch.bool))
            without = network(images)
        torch.testing.assert_close(with_mask.boxes, without.boxes, atol=1e-5, rtol=0)
        torch.testing.assert_close(with_mask.logits, without.logits, atol=1e-5, rtol=0)


def test_a_mask_of_another_size_is_refused():
    network = build_network("detr_r50", num_queries=5).eval()
    with pytest.raises(ValueError, match="must be \\(B, H, W\\) of the images"):
        network(torch.randn(1, 3, 64, 64), torch.zeros(1, 32, 64, dtype=torch.bool))


class TestInitialisation:
    def test_base_heads(self):
        network = build_network("deformable_detr_r50")
        assert len(network.class_heads) == len(network.box_heads) == 1
        torch.testing.assert_close(network.class_heads[0].bias, torch.full((91,), -math.log(99)))
        last = network.box_heads[0].layers[-1]
        assert last.weight.abs().max() == 0
        assert last.bias.tolist() == [0, 0, -2, -2]

    def test_refinement_starts_small_in_the_first_layer_only(self):
        network = build_network("deformable_detr_r50_refine")
        biases = [head.layers[-1].bias.tolist() for head in network.box_heads]
        assert biases == [[0, 0, -2, -2]] + [[0, 0, 0, 0]] * 5

    def test_two_stage_starts_on_its_proposals(self):
        network = build_network("deformable_detr_r50_two_stage")
        assert [head.layers[-1].bias.tolist() for head in network.box_heads] == [[0, 0, 0, 0]] * 7
        assert not hasattr(network, "query_embed")

    def test_sampling_points_lie_on_rays(self):
        attention = build_network("deformable_detr_r50").transformer.encoder_layers[0].self_attn
        assert attention.sampling_offsets.weight.abs().max() == 0
        assert attention.attention_weights.weight.abs().max() == 0
        grid = attention.sampling_offsets.bias.view(8, 4, 4, 2)
        torch.testing.assert_close(grid[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0]]))
        torch.testing.assert_close(grid[1, 2, 3], torch.tensor([4.0, 4.0]))  # 45 degrees, fourth point

    def test_matrices_are_xavier_uniform(self):
        transformer = build_network("detr_r50").transformer
        weight = transformer.encoder_layers[0].ffn.linear1.weight
        bound = math.sqrt(6 / (256 + 2048))
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


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


class TestPositionEncoding:
    def test_padding_does_not_shift_the_encoding(self):
        encoding = SinePositionEncoding(8)
        alone = encoding(torch.zeros(1, 4, 5, dtype=torch.bool))
        mask = torch.ones(1, 6, 9, dtype=torch.bool)
        mask[:, :4, :5] = False
        torch.testing.assert_close(encoding(mask)[:, :4, :5], alone)

    def test_the_last_pixel_of_detr_is_a_full_turn(self):
        encoding = SinePositionEncoding(8)(torch.zeros(1, 3, 3, dtype=torch.bool))
        torch.testing.assert_close(encoding[0, 2, 0, 0], torch.tensor(2 * math.pi).sin(), atol=1e-5, rtol=0)

    def test_deformable_detr_encodes_pixel_centres(self):
        encoding = SinePositionEncoding(8, offset=-0.5)(torch.zeros(1, 2, 2, dtype=torch.bool))
        torch.testing.assert_close(encoding[0, 0, 0, 0], torch.tensor(math.pi / 2).sin())

    def test_learned(self):
        encoding = LearnedPositionEncoding(4, num_positions=6)
        result = encoding(torch.zeros(2, 5, 6, dtype=torch.bool))
        assert result.shape == (2, 5, 6, 8)
        torch.testing.assert_close(
            result[0, 1, 2], torch.cat((encoding.col_embed.weight[2], encoding.row_embed.weight[1]))
        )
        with pytest.raises(ValueError, match="num_positions=6"):
            encoding(torch.zeros(1, 7, 2, dtype=torch.bool))


def test_extra_levels_start_from_the_backbones_last_map():
    neck = ChannelMapper([8, 16], out_channels=32, num_levels=4)
    levels = neck([torch.randn(1, 8, 16, 16), torch.randn(1, 16, 8, 8)])
    assert [tuple(level.shape) for level in levels] == [(1, 32, s, s) for s in (16, 8, 4, 2)]
    assert neck.levels[2].conv.in_channels == 16
    assert neck.levels[3].conv.in_channels == 32
    with pytest.raises(ValueError, match="num_levels=1 for 2 maps"):
        ChannelMapper([8, 16], num_levels=1)


def test_encoder_reference_points_are_pixel_centres():
    points = encoder_reference_points([(2, 4)], torch.ones(1, 1, 2))
    torch.testing.assert_close(points[0, 0, 0], torch.tensor([0.125, 0.25]))
    torch.testing.assert_close(points[0, -1, 0], torch.tensor([0.875, 0.75]))


def test_proposals_leave_out_padding_and_the_rim():
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    mask[:, :2, :2] = False
    anchors, invalid = proposal_anchors([mask])
    assert (~invalid).sum() == 4
    torch.testing.assert_close(anchors[0, 0].sigmoid(), torch.tensor([0.25, 0.25, 0.05, 0.05]))
    assert anchors[invalid].isinf().all()


def test_two_stage_on_an_image_with_fewer_pixels_than_queries():
    network = build_network("deformable_detr_r50_two_stage", num_queries=300).eval()
    with torch.no_grad():
        output = network(torch.randn(1, 3, 32, 32))
    assert output.boxes.isfinite().all()
    assert output.boxes.shape[1] <= 300


class TestBuild:
    def test_unknown_names_are_hinted(self):
        with pytest.raises(InputError, match="did you mean 'deformable_detr_r50'"):
            build_network("deformable_detr_r5")
        with pytest.raises(InputError, match="ResNet takes no argument 'depht'; did you mean 'depth'"):
            build(dict(type="ResNet", depht=50))
        with pytest.raises(InputError, match="type='ResNett' is no model of detr-kit; did you mean 'ResNet'"):
            build(dict(type="ResNett"))

    def test_missing_arguments_are_named(self):
        with pytest.raises(InputError, match="ChannelMapper needs in_channels"):
            build(dict(type="ChannelMapper"))

    def test_contradictions_are_refused(self):
        with pytest.raises(ValueError, match="two_stage=True needs refine=True"):
            build_network_with("deformable_detr_r50", two_stage=True)
        with pytest.raises(ValueError, match="neck gives 3 levels"):
            build_network_with("deformable_detr_r50", neck=dict(num_levels=3))


def build_network_with(name, **changes):
    from detr_kit.config import read_config

    config = read_config(name)
    config.merge_from_dict({"model": {"network": changes}})
    return build_network(config)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_boxes_in_float32(dtype):
    network = build_network("deformable_detr_r18_shapes").eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        with torch.autocast("cpu", dtype):
            autocast = network(images)
        half = network.to(dtype)(images.to(dtype))
    for output in (autocast, half):
        assert output.boxes.dtype == output.logits.dtype == torch.float32
        assert (output.boxes - expected.boxes).abs().max() < 0.05
