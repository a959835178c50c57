"""A part is left alone until its epoch: no gradient, no step, no statistics; what was frozen stays so."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from detr_kit.engine import FreezeHook
from detr_kit.engine.hooks import freeze
from detr_kit.errors import InputError


@pytest.fixture
def runner():
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    model.backbone[0].requires_grad_(False)  # by the model itself
    model.head = nn.Linear(2, 1)
    return SimpleNamespace(model=model, epoch=0, cfg={}, logger=MMLogger.get_current_instance())


def step(hook, runner):
    """One of an epoch, as the loop makes it; the parameters that it moved."""
    hook.before_train_epoch(runner)
    runner.model.train()
    hook.before_train_iter(runner, 0)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.optimizer.zero_grad()
    runner.model.head(runner.model.backbone(torch.randn(8, 2))).square().sum().backward()
    runner.optimizer.step()
    after = runner.model.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name])}


def test_until_its_epoch_only_the_rest_is_trained(runner):
    hook = FreezeHook("backbone", until_epoch=2)
    trained = [p for p in runner.model.parameters() if p.requires_grad]
    runner.optimizer = torch.optim.AdamW(trained, lr=0.1)
    hook.before_train(runner)
    for runner.epoch in (0, 1):
        assert step(hook, runner) == {"head.weight", "head.bias"}
    runner.epoch = 2
    moved = step(hook, runner)
    assert {"backbone.2.weight", "backbone.1.running_mean", "head.weight"} <= moved
    assert not {name for name in moved if name.startswith("backbone.0")}


def test_a_part_that_is_not_there(runner):
    with pytest.raises(InputError, match=r"FreezeHook: the model has no 'network\.backbone'"):
        FreezeHook("network.backbone", 1).before_train(runner)


def test_several_processes_have_to_know(runner, monkeypatch):
    monkeypatch.setattr(freeze, "get_world_size", lambda: 2)
    with pytest.raises(InputError, match="set find_unused_parameters = True"):
        FreezeHook("backbone", 1).before_train(runner)
    runner.cfg["find_unused_parameters"] = True
    FreezeHook("backbone", 1).before_train(runner)
