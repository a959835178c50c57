"""The hybrid encoders: maps of any size at one width, each knowing of the others."""

import pytest
import torch

from detr_kit.models import ElanHybridEncoder, HybridEncoder

KINDS = [HybridEncoder, ElanHybridEncoder]


def a_neck(kind, channels=(6, 8, 10)):
    return kind(channels, 16, num_heads=2, ffn_dims=16, fusion_channels=8, fusion_blocks=1)


def maps_of(height, width, channels=(6, 8, 10)):
    sizes = [(-(-height // stride), -(-width // stride)) for stride in (8, 16, 32)][-len(channels) :]
    return [torch.randn(2, c, h, w) for c, (h, w) in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 96), (97, 130), (65, 33), (40, 200)])
def test_levels_keep_the_sizes_of_the_maps(kind, size):
    maps = maps_of(*size)
    levels = a_neck(kind).eval()(maps)
    assert [level.shape for level in levels] == [(2, 16, *m.shape[-2:]) for m in maps]


@pytest.mark.parametrize("kind", KINDS)
def test_two_levels_will_do(kind):
    neck = a_neck(kind, (6, 8))
    assert neck.num_levels == 2
    assert len(neck.eval()(maps_of(64, 64, (6, 8)))) == 2


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_level_hears_of_every_map(kind):
    neck, maps = a_neck(kind).eval(), maps_of(64, 64)
    before = neck(maps)
    for changed in range(3):
        others = [-m if i == changed else m for i, m in enumerate(maps)]
        assert not any(torch.equal(new, old) for new, old in zip(neck(others), before, strict=True))


@torch.no_grad()
def test_attention_leaves_padding_out():
    neck, (*_, coarsest) = a_neck(HybridEncoder).eval(), maps_of(96, 96)
    mask = torch.zeros(2, 3, 3, dtype=torch.bool)
    mask[:, 2] = True
    projected = neck.projections[-1](coarsest)
    other = projected.masked_fill(mask[:, None], 5.0)
    seen = [neck._attend(x, mask)[:, :, :2] for x in (projected, other)]
    torch.testing.assert_close(*seen)


def test_positions_are_pixel_numbers_y_first():
    neck = a_neck(HybridEncoder)
    position = neck.position_encoding(torch.zeros(1, 3, 5, dtype=torch.bool))[0]
    assert position.shape == (3, 5, 16)
    torch.testing.assert_close(position[:, 0, 0], torch.arange(3.0).sin())  # first channel: sine of y
    torch.testing.assert_close(position[0, :, 8], torch.arange(5.0).sin())  # half-way: sine of x
    assert torch.equal(position[1, :, :8], position[1, :1, :8].expand(5, -1))
