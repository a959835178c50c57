"""RT-DETR, RT-DETRv2 and D-FINE: batches that peers fall over, padding, free sizes, inference's own form."""

import pytest
import torch
from torch import nn

from detr_kit import build_network
from detr_kit.checkpoints import detect_format
from detr_kit.errors import InputError
from detr_kit.losses import criterion_for
from detr_kit.models.layers.fuse import fuse
from detr_kit.registry import MODELS, build

from ..places import TINY_D_FINE, TINY_RT_DETR, TINY_RT_DETR_V2
from ..small_models import shake

CONFIGS = {"RT-DETR": TINY_RT_DETR, "RT-DETRv2": TINY_RT_DETR_V2, "D-FINE": TINY_D_FINE}


@pytest.fixture(params=CONFIGS)
def network(request):
    found = build_network(CONFIGS[request.param])
    shake(found)
    return found


def a_target(count, seed=0):
    r = torch.Generator().manual_seed(seed)
    return {
        "labels": torch.randint(5, (count,), generator=r),
        "boxes": 0.3 + 0.3 * torch.rand(count, 4, generator=r),
    }


# Objects in each image of a batch; the tiny networks have 12 queries and 8 denoising slots.
BATCHES = {
    "some": (3, 1),
    "an image without objects": (3, 0),
    "no object in the whole batch": (0, 0),
    "more objects than denoising slots": (9, 2),
    "more objects than queries": (20, 1),
}


@pytest.mark.parametrize("counts", BATCHES.values(), ids=BATCHES)
def test_every_batch_trains_every_parameter(network, counts):
    targets = [a_target(count, seed) for seed, count in enumerate(counts)]
    criterion = criterion_for(network)
    output = network(torch.rand(2, 3, 64, 96), None, targets)
    losses = criterion.weighted(criterion(output, targets))
    assert all(value.isfinite() for value in losses.values()), losses
    sum(losses.values()).backward()
    frozen = ("sampling_offsets",) if network.decoder.layers[0].cross_attn.method == "discrete" else ()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            # Also where it is zero: processes wait for one another's gradients of each parameter.
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        else:
            assert name in ("up", "scale") or any(part in name for part in frozen)
    of_objects = [value for name, value in losses.items() if "bbox" in name]
    assert all((value > 0) == (sum(counts) > 0) for value in of_objects)


def test_denoising_is_for_training_alone(network):
    targets = [a_target(2), a_target(3)]
    images = torch.rand(2, 3, 64, 64)
    assert network(images, None, targets).denoising is not None
    assert network(images).denoising is None
    network.eval()
    with torch.no_grad():
        assert network(images, None, targets).denoising is None


def test_denoising_does_not_touch_the_usual_queries(network):
    """They do not see the noisy ones, which would tell them the answers."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        with_noise, without = network(images, None, [a_target(2), a_target(3)]), network(images)
    torch.testing.assert_close(with_noise.logits, without.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(with_noise.boxes, without.boxes, atol=1e-5, rtol=0)


def test_without_denoising_there_is_no_embedding_for_it(network):
    config = {"RTDETR": TINY_RT_DETR, "RTDETRv2": TINY_RT_DETR_V2, "DFINE": TINY_D_FINE}
    from detr_kit.config import read_config

    settings = read_config(config[type(network).__name__]).model.network.to_dict() | {"denoising": None}
    plain = build(settings, MODELS)
    assert not hasattr(plain, "denoising_embed")
    output = plain(torch.rand(1, 3, 64, 64), None, [a_target(2)])
    assert output.denoising is None


@torch.no_grad()
def test_a_mask_without_padding_changes_nothing(network):
    network.eval()
    images = torch.rand(2, 3, 96, 64)
    with_mask, without = network(images, torch.zeros(2, 96, 64, dtype=torch.bool)), network(images)
    torch.testing.assert_close(with_mask.logits, without.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(with_mask.boxes, without.boxes, atol=1e-5, rtol=0)


@torch.no_grad()
def test_proposals_are_pixels_of_the_image_without_its_padding(network):
    network.eval()
    network.proposals.num_queries = 1000  # all of them
    network.proposals.box_head.output_layer.weight.zero_()  # boxes are the anchors
    network.proposals.box_head.output_layer.bias.zero_()
    mask = torch.zeros(1, 192, 192, dtype=torch.bool)
    mask[:, 128:] = True
    images = torch.rand(1, 3, 192, 192).masked_fill(mask[:, None], 0)
    boxes = network(images, mask).encoder[1][0]
    assert len(boxes) == 24 * 24 + 12 * 12
    found = {(round(float(y) * 32), round(float(side), 3)) for _, y, side, _ in boxes if y < 1}
    assert found == {
        (round((row + 0.5) * stride / 4), side)  # in 32nds of the image
        for stride, side in ((8, 0.05), (16, 0.1))
        for row in range(128 // stride)
    }


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (65, 33), (200, 64)])
@torch.no_grad()
def test_any_size_is_taken(network, size):
    output = network.eval()(torch.rand(1, 3, *size))
    assert output.logits.shape == (1, 12, 5)
    assert ((output.boxes > -0.5) & (output.boxes < 1.5)).all()


@torch.no_grad()
def test_fused_for_inference_it_computes_the_same(network):
    network.eval()
    fused = fuse(network)
    images = torch.rand(2, 3, 96, 128)
    ours, expected = fused(images), network(images)
    torch.testing.assert_close(ours.logits, expected.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.boxes, expected.boxes, atol=1e-4, rtol=0)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    convolutions = [sum(isinstance(m, nn.Conv2d) for m in n.modules()) for n in (fused, network)]
    assert convolutions[0] < convolutions[1]  # RepVGG's branches are one


def test_levels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="RTDETR: the neck gives 2 levels, the decoder takes 3"):
        build_with(decoder=dict(num_levels=3))


def test_more_layers_in_evaluation_than_there_are_are_refused():
    with pytest.raises(ValueError, match="num_eval_layers=3 of num_layers=2"):
        build_with(decoder=dict(num_eval_layers=3))


def test_an_unknown_pixel_scale_is_refused():
    with pytest.raises(InputError, match="pixel_scale='caffe'; it must be one of 'imagenet', 'unit'"):
        build_with(pixel_scale="caffe")


@torch.no_grad()
def test_layers_of_training_alone_are_not_run_in_evaluation():
    network = build_with(decoder=dict(num_eval_layers=1))
    images = torch.rand(1, 3, 64, 64)
    assert len(network(images).auxiliary) == 1
    assert len(network.eval()(images).auxiliary) == 0


def build_with(**changes):
    from detr_kit.config import read_config

    config = read_config(TINY_RT_DETR)
    config.merge_from_dict({"model": {"network": changes}})
    return build_network(config)


def test_weights_tell_of_heads_and_of_a_backbone_without_its_last_stage():
    network = build_network("d_fine_n_shapes")
    found = detect_format(network.state_dict()).architecture.network
    assert found["backbone"]["strides"] == (8, 16)
    assert found["neck"]["in_channels"] == [256, 512]
    assert found["decoder"]["num_heads"] == found["neck"]["num_heads"] == 4
    again = build(found | {"num_queries": 30}, MODELS)  # which they do not tell
    again.load_state_dict(network.state_dict())
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected, same = network.eval()(images), again.eval()(images)
    assert torch.equal(expected.logits, same.logits)
