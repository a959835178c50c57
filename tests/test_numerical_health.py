"""A step is taken with finite gradients or not at all, and a run that has diverged says where."""

import pytest
import torch
from torch import nn

from detr_kit.engine import AmpOptimWrapper, OptimWrapper, train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.errors import InputError
from detr_kit.losses import HungarianMatcher, SetCriterion
from detr_kit.structures import DetectorOutput

from . import faults  # noqa: F401, registers FaultHook
from .conftest import TINY


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


@pytest.mark.parametrize("classification", ["softmax", "focal"])
def test_figures_of_known_predictions(classification):
    """Three queries, two objects: one found exactly, one half covered; the third query is surely nothing."""
    matcher = HungarianMatcher(classification)
    criterion = SetCriterion(matcher, classification)
    boxes = torch.tensor([[[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.1], [0.1, 0.9, 0.1, 0.1]]])
    logits = torch.full((1, 3, 3), -9.0)
    logits[0, 0, 0] = logits[0, 1, 1] = 9.0
    if classification == "softmax":
        logits[0, 2, 2] = 9.0
    targets = [
        {"labels": torch.tensor([0, 1]), "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]])}
    ]
    losses = criterion(DetectorOutput(logits, boxes, []), targets)
    assert losses["matched_iou"].item() == pytest.approx(0.75)
    assert losses["class_error"] == 0
    assert losses["cardinality_error"] == 0
    targets[0] = {"labels": targets[0]["labels"][:1], "boxes": targets[0]["boxes"][:1]}
    losses = criterion(DetectorOutput(logits, boxes, []), targets)
    assert losses["matched_iou"].item() == pytest.approx(1)
    assert losses["cardinality_error"] == 1
    targets[0] = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    losses = criterion(DetectorOutput(logits, boxes, []), targets)
    assert losses["matched_iou"] == 0
    assert losses["cardinality_error"] == 2
