"""Dropout: PyTorch's in all that it promises, with another way of drawing."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from detr_kit.models.layers.attention import attend
from detr_kit.models.layers.dropout import Dropout, dropout, relu_dropout


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_rest_scaled(p):
    x = torch.full((1003, 997), 3.0)
    found = dropout(x, p)
    zeros = found == 0
    assert zeros.double().mean() == pytest.approx(p, abs=4 * (p * (1 - p) / x.numel()) ** 0.5 + 1e-5)
    torch.testing.assert_close(found[~zeros], torch.full_like(found[~zeros], 3 / (1 - p)), rtol=2e-4, atol=0)
    assert found.mean() == pytest.approx(3, abs=0.02 if p < 0.9 else 0.1)


def test_neighbours_are_dropped_independently():
    """Four numbers come from one draw."""
    kept = (dropout(torch.ones(2**20), 0.5) > 0).double().view(-1, 8) - 0.5
    correlation = 4 * kept.T @ kept / len(kept)
    assert (correlation - torch.eye(8)).abs().max() < 0.02


def test_gradients_pass_where_numbers_stay():
    x = torch.randn(50, 7, requires_grad=True)
    dropout(x, 0.3).sum().backward()
    torch.manual_seed(0)
    torch.randn(50, 7)
    torch.testing.assert_close(x.grad, dropout(torch.ones(50, 7), 0.3))


def test_relu_and_dropout_in_one_step_equal_the_two():
    x = torch.randn(64, 33, requires_grad=True)
    weight = torch.randn(64, 33)
    results = []
    for function in (relu_dropout, lambda x, p: dropout(F.relu(x), p)):
        torch.manual_seed(1)
        result = function(x, 0.2)
        results.append((result, *torch.autograd.grad((result * weight).sum(), x)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_seed_decides_and_the_dtype_stays(dtype):
    x = torch.randn(9, 13, 5).to(dtype)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(dropout(x, 0.4))
    assert draws[0].dtype == dtype
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_nothing_is_dropped_in_evaluation_or_at_zero():
    x = torch.randn(10, 10)
    module = Dropout(0.5)
    assert isinstance(module, nn.Dropout)
    assert torch.equal(module.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros(10, 10))
    assert dropout(x[:0], 0.5).shape == (0, 10)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_dropout_is_attention_on_average(masked):
    q, k, v = (torch.randn(2, 4, n, 8) for n in (5, 7, 7))
    mask = torch.rand(2, 1, 5, 7) > 0.3 if masked else None
    if masked:
        mask[..., 0] = True
    mean = torch.stack([attend(q, k, v, mask, 0.1) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, attend(q, k, v, mask, 0.0), atol=0.05, rtol=0)
