"""Each training feature does what it says, by config and by flag."""

import argparse
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR

from detr_kit.cli import main
from detr_kit.cli import train as train_command
from detr_kit.config import read_config
from detr_kit.data import write_shapes
from detr_kit.engine import AmpOptimWrapper, Features, prepare_config, train
from detr_kit.engine.features import apply_features
from detr_kit.engine.hooks.early_stopping import EarlyStoppingHook
from detr_kit.engine.hooks.schedule_check import ScheduleCheckHook
from detr_kit.errors import InputError
from detr_kit.models import ResNet
from detr_kit.registry import MODELS, build
from detr_kit.zoo import build_network

from ..places import TINY


def _config(**features):
    config = prepare_config(TINY)
    apply_features(Features(**features), config)
    return config


def test_every_feature_has_a_flag():
    parser = argparse.ArgumentParser()
    train_command.add_command(parser.add_subparsers())
    options = parser.parse_args(["train", "config"])
    assert all(hasattr(options, field.name) for field in fields(Features))
    assert Features(**{f.name: getattr(options, f.name) for f in fields(Features)}) == Features()


def test_features_together_train_from_the_command_line(shapes, tmp_path):
    flags = "--ema --accumulate 2 --clip-grad 0.5 --checkpointing --freeze-backbone --warmup 3 --early-stop 5"
    flags += " --class-balance 0.9 --cache-gb 0.1 --skip-unreadable --seed 4 --amp bf16"
    options = ["--work-dir", str(tmp_path), "--cfg-options", f"data_root={shapes}", "train_cfg.max_epochs=1"]
    assert main(["train", str(TINY), *flags.split(), *options]) == 0
    saved = torch.load(tmp_path / "epoch_1.pth", weights_only=True)
    assert saved["meta"]["seed"] == 4
    assert any(not torch.equal(saved["ema_state_dict"][f"module.{key}"], tensor)
               for key, tensor in saved["state_dict"].items())  # fmt: skip
    history = saved["message_hub"]["log_scalars"]
    lr = history["train/lr"]["detr_kit.history"][0].tolist()
    assert len(lr) > 6  # rarer classes came more often
    assert len(history["train/grad_norm"]["detr_kit.history"][0]) == -(-len(lr) // 2)
    assert lr[0] == pytest.approx(1e-5)
    assert lr == sorted(lr)


def test_a_backbone_of_timm_is_frozen_whole():
    config = prepare_config(TINY)
    config.model.network.backbone = dict(type="TimmBackbone", name="resnet18", strides=(8,), norm="batch")
    apply_features(Features(freeze_backbone=True), config)
    network = build(config.model.network.to_dict(), MODELS).train()
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())
    assert any(parameter.requires_grad for parameter in network.neck.parameters())
    before = [buffer.clone() for buffer in network.backbone.buffers()]
    network(torch.randn(2, 3, 64, 64))
    assert all(map(torch.equal, network.backbone.buffers(), before))


@pytest.mark.parametrize(("features", "message"), [
    (dict(amp="int8"), "amp='int8'; it must be one of bf16, fp16"),
    (dict(accumulate=0), "accumulate=0; it must be at least 1"),
    (dict(class_balance=3.0), "class_balance=3.0; it is a share"),
    (dict(clip_grad=-1.0), "clip_grad=-1.0; it must be 0 or more"),
    (dict(cache_gb=-1.0), "cache_gb=-1.0; it must be 0 or more"),
    (dict(seed=-1), "seed=-1; it must be 0 or more"),
])  # fmt: skip
def test_values_out_of_range_are_refused(features, message):
    with pytest.raises(InputError, match=message):
        _config(**features)


def test_float16_on_the_cpu_scales_its_loss(tmp_path):
    write_shapes(tmp_path, num_train=8, num_val=2, image_size=16)  # its convolutions are slow there
    options = {"data_root": str(tmp_path), "train_cfg.max_epochs": 1}
    runner = train(TINY, work_dir=tmp_path, options=options, features=Features(amp="fp16"))
    assert isinstance(runner.optim_wrapper, AmpOptimWrapper)
    saved = torch.load(tmp_path / "epoch_1.pth", weights_only=True)
    assert saved["optimizer"]["loss_scaler"]["scale"] >= 1
    assert all(p.isfinite().all() for p in runner.model.parameters())


def test_a_recipes_own_warmup_gives_way():
    config = prepare_config("deformable_detr_r18_shapes")
    apply_features(Features(warmup=7), config)
    assert [s.type for s in config.param_scheduler] == ["LinearLR", "CosineAnnealingLR"]
    assert config.param_scheduler[0].end == 7


def test_a_warm_up_of_one_iteration_ends():
    (warm_up, *_) = _config(warmup=1).param_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    settings = {key: value for key, value in warm_up.items() if key != "type"}
    schedule = LinearLR(optimizer, **settings)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(2):
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 1.0, 1.0])


class TestSchedulesThatDoNotFit:
    def _warnings(self, schedule, max_epochs=12, max_iters=120, **settings):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        said = []
        runner = SimpleNamespace(
            param_schedulers=[schedule(optimizer, **{"end": max_epochs, **settings})],
            logger=SimpleNamespace(warning=said.append),
            max_epochs=max_epochs,
            max_iters=max_iters,
        )
        ScheduleCheckHook().before_train(runner)
        return said

    def test_milestones_beyond_the_end_are_named(self):
        (said,) = self._warnings(MultiStepLR, milestones=[8, 12, 40])
        assert said.startswith(
            "param_scheduler.0 (MultiStepLR): milestones=[12, 40] are at the end or beyond"
        )
        assert said.endswith("the run has 12 epoch(s)")
        assert not self._warnings(MultiStepLR, milestones=[8, 11])

    def test_a_cosine_of_another_length_is_named(self):
        assert (
            "T_max=8 ends before, and the rate rises again" in self._warnings(CosineAnnealingLR, T_max=8)[0]
        )
        assert "does not reach its minimum" in self._warnings(CosineAnnealingLR, T_max=20)[0]
        assert not self._warnings(CosineAnnealingLR, T_max=12)

    def test_a_warm_up_longer_than_the_run_is_named(self):
        assert "takes until 499" in self._warnings(LinearLR, by_epoch=False, end=500)[0]
        assert not self._warnings(LinearLR, by_epoch=False, end=100)

    def test_one_without_length_is_refused(self):
        with pytest.raises(InputError, match="no step between 0 and 1"):
            self._warnings(LinearLR, end=1)


def test_the_learning_rate_is_scaled_by_the_pictures_of_a_step(shapes, tmp_path):
    """Two batches of 4 of the recipe's 16; and a run that goes on with the same is not warned of."""
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1, "train_cfg.val_begin": 9}
    for resume in (False, True):
        runner = train(
            TINY,
            work_dir=tmp_path,
            resume=resume,
            options=options,
            features=Features(accumulate=2),
            auto_scale_lr=True,
        )
        assert [group["initial_lr"] for group in runner.optim_wrapper.param_groups] == [1e-3 * 8 / 16]
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert "learning rate scaled by 0.5: 8 pictures a step" in logs
    assert "resumed with the checkpoint's learning rate" not in logs


def test_scaling_needs_the_recipes_batch_size(shapes, tmp_path):
    config = prepare_config(TINY, work_dir=tmp_path, options={"data_root": str(shapes)})
    config.pop("auto_scale_lr")
    with pytest.raises(InputError, match="does not say for which batch size"):
        train(config, work_dir=tmp_path, auto_scale_lr=True)


def _gradients(name, checkpointing):
    """Gradients of a network in training mode, and how many numbers the forward pass kept for them."""
    config = read_config(name).model.network
    config.backbone.weights = None
    config.backbone.checkpointing = config.transformer.checkpointing = checkpointing
    torch.manual_seed(3)
    network = build(config.to_dict(), MODELS).train()
    images, mask = torch.randn(1, 3, 96, 128), torch.zeros(1, 96, 128, dtype=torch.bool)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        torch.manual_seed(4)  # of dropout
        output = network(images, mask)
    torch.manual_seed(5)
    (output.logits.square().mean() + output.boxes.square().mean()).backward()
    return {k: p.grad for k, p in network.named_parameters() if p.grad is not None}, sum(kept)


class TestCheckpointing:
    @pytest.mark.parametrize("name", ["deformable_detr_r50_refine", "detr_r50"])
    def test_gradients_are_the_same(self, name):
        (plain, kept), (recomputed, kept_less) = (_gradients(name, enabled) for enabled in (False, True))
        assert plain.keys() == recomputed.keys()
        for key, gradient in plain.items():
            torch.testing.assert_close(gradient, recomputed[key], msg=key)
        assert kept_less < 0.5 * kept

    def test_batch_statistics_are_not_counted_twice(self):
        with pytest.raises(InputError, match="counts its statistics twice"):
            ResNet(depth=18, norm="batch", checkpointing=True)


def test_the_compiled_network_gives_the_same():
    """By the backend that only captures the graph, which is what can go wrong."""
    torch.manual_seed(0)
    network = build_network(TINY).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = network(images)
        keys = list(network.state_dict())
        network.compile(backend="eager")
        compiled = network(images)
    torch.testing.assert_close(plain.boxes, compiled.boxes)
    assert list(network.state_dict()) == keys


def test_a_run_compiles_its_network(shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1, "compile": dict(backend="eager")}
    options |= {"train_cfg.val_begin": 2}  # images of other sizes would be compiled for too
    runner = train(TINY, work_dir=tmp_path, options=options)
    assert runner.model.network._compiled_call_impl is not None
    assert "the network is compiled" in next(tmp_path.glob("*/*.log")).read_text()


class TestEarlyStopping:
    def _run(self, shapes, work_dir, resume=False, **options):
        options = {"data_root": str(shapes), "optim_wrapper.optimizer.lr": 1e-9, **options}
        return train(TINY, work_dir=work_dir, resume=resume, options=options, features=Features(early_stop=2))

    def test_it_ends_when_nothing_gets_better_and_remembers_when_resumed(self, shapes, tmp_path):
        """AP stays 0: the first validation is the best, two more are patience."""
        first = self._run(shapes, tmp_path, **{"train_cfg.max_epochs": 2})
        assert first.epoch == 2
        second = self._run(shapes, tmp_path, resume=True, **{"train_cfg.max_epochs": 9})
        assert second.epoch <= 3
        (hook,) = (h for h in second.hooks if isinstance(h, EarlyStoppingHook))
        assert hook.wait_count >= 2


def test_weights_and_biases_offline(shapes, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1}
    train(TINY, work_dir=tmp_path, options=options, features=Features(wandb=True))
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
