"""A step is taken with finite gradients or not at all, clipped and accumulated."""

import pytest
import torch
from torch import nn

from detr_kit.engine import AmpOptimWrapper, OptimWrapper

from . import faults  # noqa: F401, registers FaultHook


def _wrapped(kind=OptimWrapper, **kwargs):
    layer = nn.Linear(2, 1, bias=False)
    return layer, kind(optimizer=torch.optim.SGD(layer.parameters(), lr=0.1), **kwargs)


class TestOptimWrapper:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("clip", [None, dict(max_norm=0.1), dict(type="value", clip_value=0.1)])
    def test_a_step_that_is_not_finite_changes_nothing(self, value, clip):
        layer, wrapper = _wrapped(clip_grad=clip)
        before = layer.weight.detach().clone()
        wrapper.update_params(layer(torch.tensor([1.0, value])).sum())
        assert torch.equal(layer.weight, before)
        assert (wrapper.skipped_steps, wrapper.skipped_in_a_row) == (1, 1)
        assert wrapper.bad_parameters[0] is layer.weight
        wrapper.update_params(layer(torch.ones(2)).sum())
        assert not torch.equal(layer.weight, before)
        assert (wrapper.skipped_steps, wrapper.skipped_in_a_row) == (1, 0)

    def test_a_loss_that_is_not_finite_spoils_finite_gradients_too(self):
        layer, wrapper = _wrapped()
        before = layer.weight.detach().clone()
        wrapper.update_params(layer(torch.ones(2)).sum() + float("inf"))
        assert torch.equal(layer.weight, before)

    def test_clipping_is_torchs(self):
        layer, wrapper = _wrapped(clip_grad=dict(max_norm=0.1))
        before = layer.weight.detach().clone()
        wrapper.update_params(layer(torch.tensor([3.0, 4.0])).sum())
        torch.testing.assert_close(layer.weight, before - 0.1 * 0.1 * torch.tensor([[0.6, 0.8]]))

    @pytest.mark.parametrize("batches", [4, 5])
    def test_accumulated_batches_are_one_larger_batch(self, batches):
        """Two at a time; the odd one at the end of an epoch makes a step of its own."""
        data = torch.randn(batches, 3, 2)
        layer, wrapper = _wrapped(accumulative_counts=2)
        other, plain = _wrapped()
        other.load_state_dict(layer.state_dict())
        for _ in range(2):
            wrapper.begin_epoch(0, batches)
            for batch in data:
                wrapper.update_params(layer(batch).square().mean())
            for pair in data.split(2):
                plain.update_params(other(pair.flatten(0, 1)).square().mean())
            torch.testing.assert_close(layer.weight, other.weight)
            assert layer.weight.grad is None  # nothing is carried into the next epoch

    def test_float16_lowers_its_scale_before_a_step_counts_as_skipped(self):
        layer, wrapper = _wrapped(AmpOptimWrapper, dtype="float16")
        wrapper.scaler._init_scale = 4.0
        before = layer.weight.detach().clone()
        for skipped in (0, 0, 1, 2):
            wrapper.update_params(layer(torch.tensor([1.0, float("nan")])).sum())
            assert wrapper.skipped_steps == skipped
        assert torch.equal(layer.weight, before)
        wrapper.update_params(layer(torch.ones(2)).sum())
        assert wrapper.skipped_in_a_row == 0
        assert not torch.equal(layer.weight, before)
