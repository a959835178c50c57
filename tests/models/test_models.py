"""The networks: sizes to the digit, initialisation, backbones, masks and what is refused."""

import math

import pytest
import torch

from detr_kit import build_network
from detr_kit.config import config_names
from detr_kit.errors import InputError
from detr_kit.models.deformable_transformer import encoder_reference_points
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
    found = 21 if name.endswith("3patterns") else 7
    assert output.logits.shape == (1, found, 5 if softmax else 4)
    assert output.boxes.shape == (1, found, 4)
    assert output.boxes.min() >= 0
    assert output.boxes.max() <= 1
    if hasattr(network, "decoder"):
        num_layers = network.decoder.num_eval_layers
    else:
        num_layers = len(network.transformer.decoder_layers)
    assert len(output.auxiliary) == num_layers - 1
    proposes = name.startswith(("dino", "rt_detr", "d_fine")) or "two_stage" in name
    assert (output.encoder is not None) == proposes


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


def test_encoder_reference_points_are_pixel_centres():
    points = encoder_reference_points([(2, 4)], torch.ones(1, 1, 2))
    torch.testing.assert_close(points[0, 0, 0], torch.tensor([0.125, 0.25]))
    torch.testing.assert_close(points[0, -1, 0], torch.tensor([0.875, 0.75]))


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
