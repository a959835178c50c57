"""Deformable attention with a number of points for each level, with whole pixels, and without projections."""

import pytest
import torch
import torch.nn.functional as F

from detr_kit.models import MSDeformAttn

SHAPES = [(6, 8), (3, 4), (2, 2)]
TOKENS = sum(height * width for height, width in SHAPES)


def an_attention(**settings):
    attention = MSDeformAttn(16, 2, len(SHAPES), **settings)
    for linear in (attention.sampling_offsets, attention.attention_weights):
        torch.nn.init.normal_(linear.weight, std=0.5)
    return attention


def inputs(last=4):
    query, value = torch.randn(2, 5, 16), torch.randn(2, TOKENS, 16)
    reference = torch.rand(2, 5, 1, last).expand(-1, -1, len(SHAPES), -1) * 0.6 + 0.2
    return query, reference, value


def step_by_step(attention, points, query, reference, value, discrete=False):
    """What the attention means, a level and a point at a time (Deformable DETR, equation 3)."""
    maps = attention.value_proj(value).split([h * w for h, w in SHAPES], dim=1)
    offsets = attention.sampling_offsets(query).view(2, 5, 2, sum(points), 2)
    weights = attention.attention_weights(query).view(2, 5, 2, sum(points)).softmax(-1)
    total, start = torch.zeros(2, 5, 2, 8), 0
    for level, (height, width) in enumerate(SHAPES):
        level_map = maps[level].view(2, height * width, 2, 8).permute(0, 2, 3, 1).reshape(4, 8, height, width)
        for point in range(start, start + points[level]):
            step = offsets[:, :, :, point] / points[level] * reference[:, :, level, None, 2:] * 0.5
            where = reference[:, :, level, None, :2] + step  # (2, 5, heads, 2)
            if discrete:
                pixel = (where * torch.tensor([width, height]) + 0.5).long()
                x, y = pixel[..., 0].clamp(0, width - 1), pixel[..., 1].clamp(0, height - 1)
                heads = level_map.view(2, 2, 8, height * width)
                index = (y * width + x).transpose(1, 2)[:, :, None].expand(-1, -1, 8, -1)
                read = heads.gather(3, index).permute(0, 3, 1, 2)
            else:
                grid = (2 * where - 1).transpose(1, 2).reshape(4, 5, 1, 2)
                read = F.grid_sample(level_map, grid, align_corners=False)
                read = read.view(2, 2, 8, 5).permute(0, 3, 1, 2)
            total = total + weights[..., point, None] * read
        start += points[level]
    return attention.output_proj(total.flatten(2))


@pytest.mark.parametrize("points", [[3, 6, 3], [4, 4, 4], [2, 4, 6], [1, 2, 3]])
@pytest.mark.parametrize("method", ["bilinear", "discrete"])
def test_each_level_has_its_own_points(points, method):
    attention, given = an_attention(num_points=points, method=method), inputs()
    expected = step_by_step(attention, points, *given, discrete=method == "discrete")
    found = attention(*given, SHAPES)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_list_of_one_number_is_that_number():
    attention, same = an_attention(num_points=4), an_attention(num_points=[4, 4, 4])
    same.load_state_dict(attention.state_dict(), strict=False)
    assert torch.equal(attention(*inputs_of(0), SHAPES), same(*inputs_of(0), SHAPES))
    assert "num_points_scale" not in attention.state_dict()
    assert same.state_dict()["num_points_scale"].tolist() == [0.25] * 12


def inputs_of(seed):
    torch.manual_seed(seed)
    return inputs()


def test_levels_are_repeated_as_often_as_needed_and_no_oftener():
    assert an_attention(num_points=[3, 6, 3]).levels == (0, 1, 1, 2)
    assert an_attention(num_points=[6, 6, 6]).levels == (0, 1, 2)
    assert an_attention(num_points=[4, 6, 4]).num_points == 2


def test_gradients_reach_the_values_of_a_repeated_level_once():
    attention, (query, reference, value) = an_attention(num_points=[3, 6, 3]), inputs()
    value.requires_grad_(True)
    attention(query, reference, value, SHAPES).square().sum().backward()
    found, value.grad = value.grad, None
    step_by_step(attention, [3, 6, 3], query, reference, value).square().sum().backward()
    torch.testing.assert_close(found, value.grad, atol=1e-5, rtol=1e-4)


def test_whole_pixels_have_no_gradient_for_where():
    attention, given = an_attention(num_points=[2, 4, 2], method="discrete"), inputs()
    attention(*given, SHAPES).sum().backward()
    assert not attention.sampling_offsets.weight.requires_grad
    assert attention.sampling_offsets.weight.grad is None
    assert attention.attention_weights.weight.grad.abs().sum() > 0


def test_values_can_be_made_once_for_many():
    attention = an_attention(num_points=[3, 6, 3], projections=False)
    query, reference, value = inputs()
    values = attention.values_of(value, SHAPES)
    assert torch.equal(
        attention(query, reference, values, SHAPES), attention(query, reference, value, SHAPES)
    )
    assert not any("proj" in name for name, _ in attention.named_parameters())


def test_padding_is_not_read():
    attention, (query, reference, value) = an_attention(num_points=[3, 6, 3]), inputs()
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[:, -4:] = True
    other = value.masked_fill(mask[..., None], 7.0)
    assert torch.equal(
        attention(query, reference, value, SHAPES, mask), attention(query, reference, other, SHAPES, mask)
    )


def test_points_go_outwards_on_every_level():
    bias = MSDeformAttn(16, 2, 3, [1, 2, 3]).sampling_offsets.bias.view(2, 6, 2)
    assert bias[0, :, 0].tolist() == [1, 1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(num_points=[4, 4]), r"num_points=\[4, 4\] for num_levels=3"),
        (dict(num_points=[4, 0, 4]), "give one number, or one a level"),
        (dict(method="nearest"), "method='nearest'; it must be one of bilinear, discrete"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MSDeformAttn(16, 2, 3, **settings)
