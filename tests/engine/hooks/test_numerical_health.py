"""A step is taken with finite gradients or not at all, and a run that has diverged says where."""

import pytest
import torch
from torch import nn

from detr_kit.engine import train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.errors import InputError

from ...places import TINY
from .. import faults  # noqa: F401, registers FaultHook


def _train(shapes, work_dir, *hooks, **options):
    from detr_kit.config import read_config

    config = read_config(TINY)
    config.custom_hooks = list(hooks)
    return train(config, work_dir=work_dir, options={"data_root": str(shapes), **options})


def _log(work_dir):
    return next(work_dir.glob("*/*.log")).read_text()


class TestRuns:
    def test_two_bad_steps_are_left_out_and_counted(self, shapes, tmp_path):
        fault = dict(type="FaultHook", kind="nan_gradient", iteration=3, steps=2)
        runner = _train(shapes, tmp_path, fault)
        assert runner.optim_wrapper.skipped_steps == 2
        assert runner.optim_wrapper.skipped_in_a_row == 0
        log = _log(tmp_path)
        assert log.count("the gradients are not finite at iteration") == 2
        assert "the gradients are not finite at iteration 3 (images " in log
        assert "000" in log.split("iteration 3 (images ")[1][:200]  # file names
        assert all(p.isfinite().all() for p in runner.model.parameters())
        assert all(line["loss"] < 100 for line in read_scalars(tmp_path) if "loss" in line)
        saved = torch.load(tmp_path / "epoch_2.pth", weights_only=True)
        assert saved["message_hub"]["runtime_info"]["skipped_steps"] == 2

    def test_gradients_that_stay_bad_stop_the_run_by_name(self, shapes, tmp_path):
        fault = dict(type="FaultHook", kind="nan_gradient", iteration=3, steps=100)
        with pytest.raises(InputError) as error:
            _train(shapes, tmp_path, fault)
        message = str(error.value)
        assert "at iteration 7" in message
        assert "5 steps in a row" in message
        assert "the last of them network.box_heads.0.layers.2.bias" in message
        assert "(id " in message
        assert (tmp_path / "epoch_1.pth").is_file()

    def test_a_weight_that_is_not_a_number_is_named(self, shapes, tmp_path):
        fault = dict(type="FaultHook", kind="nan_weight", iteration=2)
        with pytest.raises(InputError, match=r"the loss is nan at iteration 4 .* 3 steps in a row .*"
                           r"the weights of network\.class_heads\.0\.weight are not finite"):  # fmt: skip
            _train(shapes, tmp_path, fault, **{"optim_wrapper.max_skipped_steps": 3})

    def test_the_log_says_whether_anything_is_learned(self, trained):
        lines = [line for line in read_scalars(trained[0]) if "loss" in line]
        assert all(0 <= line["matched_iou"] <= 1 for line in lines)
        assert all(0 <= line["class_error"] <= 100 for line in lines)
        assert all(line["cardinality_error"] >= 0 for line in lines)


def test_the_first_layer_that_overflows_is_named(trained):
    from detr_kit.engine.hooks.numerical_health import first_layer_not_finite

    runner = trained[1]
    batch = next(iter(runner.train_dataloader))
    assert first_layer_not_finite(runner, runner.model, batch) is None
    layer = runner.model.network.transformer.encoder_layers[0].ffn
    linear = next(m for m in layer.modules() if isinstance(m, nn.Linear))
    kept = linear.weight.data.clone()
    linear.weight.data.fill_(3e38)
    try:
        assert "transformer.encoder_layers.0.ffn" in first_layer_not_finite(runner, runner.model, batch)
    finally:
        linear.weight.data.copy_(kept)


def test_a_run_whose_loss_is_nan_stops(shapes, tmp_path):
    options = {
        "data_root": str(shapes),
        "optim_wrapper.optimizer.lr": 1e30,
        "optim_wrapper.clip_grad": None,
    }
    with pytest.raises(InputError, match="the loss is nan at iteration"):
        train(TINY, work_dir=tmp_path, options=options)
