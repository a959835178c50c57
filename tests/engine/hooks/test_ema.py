"""A moving average that follows quickly at first."""

import math

import torch

from detr_kit.engine.hooks.ema import ExpMomentumEMA


def test_its_momentum_falls_from_one_to_its_own():
    model = torch.nn.Linear(1, 1)
    average = ExpMomentumEMA(model, momentum=0.01, gamma=10, update_buffers=True)
    with torch.no_grad():
        expected = model.weight.clone()
        for step in range(40):
            model.weight.fill_(float(step))
            average.update_parameters(model)
            if step == 0:
                expected = model.weight.clone()  # mmengine's averages begin with the weights themselves
                continue
            momentum = 0.99 * math.exp(-(1 + step) / 10) + 0.01
            expected += momentum * (model.weight - expected)
    torch.testing.assert_close(average.module.weight, expected)
