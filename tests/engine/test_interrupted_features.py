"""Features and interruption in combination: the run ends as the undisturbed one, bit for bit."""

import pytest
import torch

from detr_kit.data import write_shapes
from detr_kit.engine import Features, train

from ..places import TINY

ITERATIONS = 8  # two epochs of four batches
# Every pair of settings occurs in some row. The run is stopped in its second epoch and goes on from there, or
# from the end of the first; the features are given once, and the run remembers them.
ROWS = [
    (dict(), "preempted.pth"),
    (dict(ema=True, amp="bf16", warmup=3), "epoch_1.pth"),
    (dict(accumulate=2, amp="fp16", class_balance=0.9), "preempted.pth"),
    (dict(ema=True, accumulate=2, clip_grad=0.0), "preempted.pth"),
    (dict(ema=True, amp="fp16", freeze_backbone=True), "preempted.pth"),
    (dict(accumulate=2, amp="bf16", early_stop=1, checkpointing=True), "epoch_1.pth"),
    (dict(ema=True, accumulate=3, amp="fp16", seed=5, skip_unreadable=True), "epoch_1.pth"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    # As small as it gets: on a CPU the gradients of float16 convolutions take a hundred times as long.
    write_shapes(folder, num_train=8, num_val=2, image_size=16)
    return folder


def _config(folder, fault):
    """Eight steps of two images, with dropout; checkpoints of every epoch, validation at the end."""
    hooks = [dict(type="FaultHook", kind="sigterm", iteration=6)] if fault else []
    path = folder / "config.py"
    path.write_text(
        f"_base_ = {str(TINY)!r}\n"
        "custom_imports = dict(imports=['tests.engine.faults'])\n"
        f"custom_hooks = {hooks}\n"
        "model = dict(network=dict(transformer=dict(dropout=0.1)))\n"
        "train_dataloader = dict(batch_size=2)\n"
        "param_scheduler = [dict(type='CosineAnnealingLR', T_max=2, convert_to_iter_based=True)]\n"
        "train_cfg = dict(max_epochs=2, val_begin=2)\n"
        "data_check = False\n"
    )
    return path


def _parts(folder):
    saved = torch.load(folder / "epoch_2.pth", weights_only=True)
    return {key: saved.get(key) for key in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers")}


def _leaves(value, path=""):
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in _leaves(part, f"{path}.{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in _leaves(part, f"{path}.{i}").items()}
    return {path: value}


@pytest.mark.parametrize(("features", "checkpoint"), ROWS)
def test_an_interrupted_run_ends_as_one_that_was_not(features, checkpoint, data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder, fault in ((whole, False), (cut, True)):
        folder.mkdir()
        options = {"data_root": str(data)}
        runner = train(
            _config(folder, fault), work_dir=folder, options=options, features=Features(**features)
        )
        assert (runner.epoch == 2) == (not fault)
    assert (cut / "preempted.pth").is_file()
    runner = train(cut / "config.py", work_dir=cut, resume=cut / checkpoint, options=options)
    assert runner.epoch == 2
    ours, theirs = _leaves(_parts(cut)), _leaves(_parts(whole))
    assert ours.keys() == theirs.keys()
    for path, value in theirs.items():
        equal = torch.equal(value, ours[path]) if isinstance(value, torch.Tensor) else value == ours[path]
        assert equal, path


class TestMovingAverage:
    def _steps(self, folder, data, **features):
        train(
            _config(folder, False),
            work_dir=folder,
            options={"data_root": str(data)},
            features=Features(ema=True, **features),
        )
        return int(torch.load(folder / "epoch_2.pth", weights_only=True)["ema_state_dict"]["steps"])

    def test_it_counts_steps_not_batches(self, data, tmp_path):
        """Of four batches an epoch, three and one make a step."""
        assert self._steps(tmp_path, data, accumulate=3) == 4

    def test_steps_that_are_left_out_count_for_nothing(self, data, tmp_path):
        path = _config(tmp_path, False)
        hooks = [dict(type="EMAHook"), dict(type="FaultHook", kind="nan_gradient", iteration=3, steps=2)]
        path.write_text(path.read_text().replace("custom_hooks = []", f"custom_hooks = {hooks}"))
        train(path, work_dir=tmp_path, options={"data_root": str(data)})
        saved = torch.load(tmp_path / "epoch_2.pth", weights_only=True)
        assert int(saved["ema_state_dict"]["steps"]) == ITERATIONS - 2
        buffers = [key for key in saved["state_dict"] if "running_" in key]
        assert all(
            torch.equal(saved["state_dict"][key], saved["ema_state_dict"][f"module.{key}"]) for key in buffers
        )
