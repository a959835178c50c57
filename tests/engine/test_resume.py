"""A run that goes on is the run that began: its features, its place, its schedule, its data."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR

from detr_kit.checkpoints import write_checkpoint
from detr_kit.cli import main
from detr_kit.engine import AmpOptimWrapper, Features, train
from detr_kit.engine.epoch_progress import EpochProgress
from detr_kit.engine.kept_features import features_of_run
from detr_kit.engine.resumed_schedule import Place, resume_schedules
from detr_kit.errors import InputError

from ..places import TINY

COSINE = "param_scheduler = [dict(type='CosineAnnealingLR', T_max=2, convert_to_iter_based=True)]"


def _options(shapes, **options):
    return {"data_root": str(shapes), "train_cfg.max_epochs": 1, "data_check": False, **options}


def _log(work_dir):
    return max(Path(work_dir).glob("*/*.log"), key=lambda path: path.stat().st_mtime).read_text()


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The tiny config with a schedule that stands for epochs and counts iterations."""
    path = tmp_path_factory.mktemp("config") / "config.py"
    path.write_text(f"_base_ = {str(TINY)!r}\n{COSINE}\n")
    return path


@pytest.fixture(scope="module")
def began(config, shapes, tmp_path_factory):
    """One epoch of two, of 6 batches, with a moving average and in bfloat16."""
    folder = tmp_path_factory.mktemp("began")
    train(config, work_dir=folder, options=_options(shapes), features=Features(ema=True, amp="bf16"))
    return folder


@pytest.fixture
def copy(began, tmp_path):
    """That run, to go on with in its own directory."""
    shutil.copytree(began, tmp_path / "copy")
    return tmp_path / "copy"


class TestFeatures:
    def test_each_is_what_is_given_now_else_what_the_run_began_with(self):
        earlier = Features(amp="bf16", ema=True, clip_grad=0.1)
        assert Features().over(earlier) == earlier
        assert Features(cache_gb=4.0).over(earlier) == replace(earlier, cache_gb=4.0)
        given = Features(amp="fp16", clip_grad=0.0)
        assert given.over(earlier) == Features(amp="fp16", ema=True, clip_grad=0.0)

    def test_they_go_on_from_a_checkpoint_of_another_directory(self, began, config, shapes, tmp_path):
        options = _options(shapes, **{"train_cfg.max_epochs": 2})
        added = Features(seed=0)
        runner = train(
            config, work_dir=tmp_path, resume=began / "epoch_1.pth", options=options, features=added
        )
        assert isinstance(runner.optim_wrapper, AmpOptimWrapper)
        (ema,) = (hook for hook in runner.hooks if isinstance(hook, MMEngineEMAHook))
        assert int(ema.ema_model.steps) == 12
        assert features_of_run(tmp_path) == Features(ema=True, amp="bf16", seed=0)
        assert features_of_run(began) == Features(ema=True, amp="bf16")

    def test_without_a_moving_average_the_live_weights_go_on(self, copy, config, shapes):
        """features.json of a run of an earlier version may be lost."""
        (copy / "features.json").unlink()
        saved = torch.load(copy / "epoch_1.pth", weights_only=True)
        runner = train(config, work_dir=copy, resume=True, options=_options(shapes))
        live = runner.model.state_dict()
        assert all(torch.equal(live[key], saved["ema_state_dict"][f"module.{key}"]) for key in live)
        assert "it goes on from the live weights" in _log(copy)

    def test_a_damaged_file_is_named(self, copy, config, shapes):
        (copy / "features.json").write_text('{"emma": true}')
        with pytest.raises(InputError, match="these are no features of a run"):
            train(config, work_dir=copy, resume=True, options=_options(shapes))

    def test_a_refused_command_leaves_no_folder_behind(self, tmp_path):
        options = ["--work-dir", str(tmp_path / "run"), "--ema", "--cfg-options", f"data_root={tmp_path}"]
        assert main(["train", str(TINY), *options]) == 2
        assert not (tmp_path / "run").exists()

    def test_a_run_started_by_mistake_leaves_the_features_of_the_earlier_one(
        self, copy, config, shapes, tmp_path
    ):
        """Like its checkpoints, they are set aside only when there is something to put in their place."""
        bad = _options(shapes, **{"param_scheduler": [dict(type="LinearLR", by_epoch=False, end=1)]})
        with pytest.raises(InputError, match="no step between 0 and 1"):
            train(config, work_dir=copy, options=bad)
        assert features_of_run(copy) == Features(ema=True, amp="bf16")
        train(config, work_dir=copy, options=_options(shapes), features=Features(clip_grad=0.5))
        (aside,) = copy.glob("earlier_*")
        assert features_of_run(aside) == Features(ema=True, amp="bf16")
        assert features_of_run(copy) == Features(clip_grad=0.5)


class TestPlace:
    @pytest.mark.parametrize(
        ("done", "length", "now", "wanted"),
        [
            (0, 6, 6, 0),
            (4, 6, 6, 4),
            (6, 6, 6, 6),
            (0, 6, 3, 0),  # at an end whatever the length
            (6, 6, 3, 3),
            (4, 6, 3, None),  # not a place of this epoch
            (2, 3, 6, None),
        ],
    )
    def test_of_an_epoch(self, done, length, now, wanted):
        progress = EpochProgress(done, length)
        assert EpochProgress.from_meta(progress.to_meta()).in_epoch_of(now) == wanted
        assert EpochProgress.from_meta({"epoch": 1, "iter": 6}) is None

    def test_the_next_epoch_is_trained_whole_with_another_batch_size(self, copy, config, shapes):
        """6 batches of 4 are behind; 3 of 8 follow, on the schedule's second half."""
        options = _options(shapes, **{"train_cfg.max_epochs": 2, "train_dataloader.batch_size": 8})
        runner = train(config, work_dir=copy, resume=True, options=options)
        assert (runner.epoch, runner.iter) == (2, 6)
        lr = runner.message_hub.get_scalar("train/lr").data[0]
        assert len(lr) == 6 + 3
        half = [1e-3 * (1 + math.cos(math.pi * (3 + i) / 6)) / 2 for i in range(3)]
        assert lr[6:].tolist() == pytest.approx(half)
        assert "starts anew" not in _log(copy)

    def test_within_an_epoch_another_batch_size_begins_it_anew_and_says_so(self, copy, config, shapes):
        saved = torch.load(copy / "epoch_1.pth", weights_only=True)
        saved["meta"] |= {"epoch": 0, "iter": 4, "epoch_done": 4, "epoch_length": 6}
        torch.save(saved, copy / "epoch_1.pth")
        options = _options(shapes, **{"train_dataloader.batch_size": 8})
        runner = train(config, work_dir=copy, resume=True, options=options)
        assert runner.iter == 3
        assert "after 4 of 6 batches, and an epoch has 3 now" in _log(copy)

    def test_a_checkpoint_of_version_0_1_goes_on_as_it_did(self, copy, config, shapes):
        saved = torch.load(copy / "epoch_1.pth", weights_only=True)
        for key in ("epoch_done", "epoch_length", "data"):
            del saved["meta"][key]
        torch.save(saved, copy / "epoch_1.pth")
        options = _options(shapes, **{"train_cfg.max_epochs": 2})
        runner = train(config, work_dir=copy, resume=True, options=options)
        assert (runner.epoch, runner.iter) == (2, 12)


class TestFinished:
    def test_a_finished_run_says_so(self, copy, config, shapes):
        before = (copy / "epoch_1.pth").read_bytes()
        runner = train(config, work_dir=copy, resume=True, options=_options(shapes))
        assert runner.epoch == 1
        log = _log(copy)
        assert (
            "this run is finished, nothing is trained: 1 epochs are done and train_cfg.max_epochs is 1" in log
        )
        assert "train_cfg.max_epochs=N" in log
        assert (copy / "epoch_1.pth").read_bytes() == before


class TestRefused:
    def test_classes_that_were_swapped(self, copy, config, shapes, tmp_path):
        shutil.copytree(shapes, tmp_path / "data")
        for split in ("train", "val"):
            file = tmp_path / "data" / f"{split}.json"
            data = json.loads(file.read_text())
            first, second = data["categories"][:2]
            first["name"], second["name"] = second["name"], first["name"]
            file.write_text(json.dumps(data))
        message = r"other classes: label 0 was 'circle' \(id 1\) and is 'square' \(id 1\)"
        with pytest.raises(InputError, match=message):
            train(config, work_dir=copy, resume=True, options=_options(tmp_path / "data"))

    def test_images_that_were_added_are_said(self, copy, config, shapes, tmp_path):
        shutil.copytree(shapes, tmp_path / "data")
        file = tmp_path / "data" / "train.json"
        data = json.loads(file.read_text())
        gone = data["images"].pop()["id"]
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] != gone]
        file.write_text(json.dumps(data))
        train(config, work_dir=copy, resume=True, options=_options(tmp_path / "data"))
        assert "the train set had 24 images" in _log(copy)

    def test_a_best_checkpoint_which_has_no_optimiser(self, copy, config, shapes):
        (best,) = copy.glob("best_*.pth")
        with pytest.raises(InputError, match="weights without the state of the optimiser"):
            train(config, work_dir=copy, resume=best, options=_options(shapes))

    def test_an_optimiser_of_other_groups(self, copy, config, shapes):
        groups = dict(custom_keys={"backbone": dict(lr_mult=0.1)})
        options = _options(shapes, **{"optim_wrapper.paramwise_cfg": groups})
        with pytest.raises(InputError, match="trained other parameters"):
            train(config, work_dir=copy, resume=True, options=options)

    def test_schedules_of_other_kinds(self, copy, config, shapes):
        with pytest.raises(InputError, match="they are of other kinds"):
            train(config, work_dir=copy, resume=True, options=_options(shapes), features=Features(warmup=5))


def _schedules(**ends):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    return optimizer, [
        LinearLR(optimizer, start_factor=0.1, by_epoch=False, end=5),
        MultiStepLR(optimizer, milestones=ends["milestones"], by_epoch=True, end=ends["end"]),
    ]


def test_more_epochs_follow_the_configs_schedule():
    """mmengine would keep the ends of the checkpoint's, behind which no milestone counts."""
    optimizer, saved = _schedules(milestones=[4], end=2)
    for _ in range(2):
        saved[1].step()
    state = [scheduler.state_dict() for scheduler in saved]
    optimizer, schedules = _schedules(milestones=[4], end=8)
    (line,) = resume_schedules(schedules, state, [Place(ends_with_run=False), Place()])
    assert "MultiStepLR end=8 (was 2)" in line
    optimizer.param_groups[0]["lr"] = 1.0
    rates = []
    for _ in range(3):  # of the epochs with index 3, 4 and 5
        schedules[1].step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 0.1, 0.1])


def test_a_schedule_that_counts_iterations_moves_with_the_length_of_an_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    saved = CosineAnnealingLR(optimizer, T_max=48, by_epoch=False, end=48)
    for _ in range(24):
        saved.step()
    half = optimizer.param_groups[0]["lr"]
    schedule = CosineAnnealingLR(optimizer, T_max=24, by_epoch=False, end=24)
    resume_schedules([schedule], [saved.state_dict()], [Place(iteration=12)])
    optimizer.param_groups[0]["lr"] = half
    for _ in range(12):
        schedule.step()
    assert half == pytest.approx(0.5)
    assert schedule.last_step == 23
    assert optimizer.param_groups[0]["lr"] == pytest.approx((1 + math.cos(math.pi * 23 / 24)) / 2)


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    from detr_kit.engine import EarlyStoppingHook

    said = []
    info = {"early_stopping": {"best_score": 0.5, "wait_count": 3}}
    runner = SimpleNamespace(
        message_hub=SimpleNamespace(runtime_info=info),
        train_loop=SimpleNamespace(stop_training=False),
        logger=SimpleNamespace(warning=said.append),
    )
    EarlyStoppingHook(patience=4).before_train(runner)
    assert not runner.train_loop.stop_training
    EarlyStoppingHook(patience=3).before_train(runner)
    assert runner.train_loop.stop_training
    assert "this run has stopped early" in said[0]


class TestBesidesTheRun:
    """A checkpoint to start from, one of another run, none, one that is none."""

    def test_a_config_with_load_from_goes_on_from_its_own_run(self, trained, shapes, tmp_path):
        other = trained[0] / "epoch_2.pth"
        kept = {path.name for path in trained[0].glob("*.pth")}
        options = {"data_root": str(shapes), "load_from": str(other)}
        first = train(TINY, work_dir=tmp_path, options={**options, "train_cfg.max_epochs": 1})
        assert first.epoch == 1
        second = train(TINY, work_dir=tmp_path, resume=True, options=options)
        assert second.epoch == 2
        assert len(second.message_hub.get_scalar("train/loss").data[0]) == second.iter
        assert {path.name for path in trained[0].glob("*.pth")} == kept

    def test_another_runs_best_checkpoint_is_left_alone(self, trained, shapes, tmp_path):
        kept = {path.name for path in trained[0].glob("best*.pth")}
        options = {"data_root": str(shapes), "train_cfg.max_epochs": 3}
        train(TINY, work_dir=tmp_path, resume=trained[0] / "epoch_2.pth", options=options)
        assert {path.name for path in trained[0].glob("best*.pth")} == kept
        assert list(tmp_path.glob("best*.pth"))

    def test_without_a_checkpoint_the_backbones_weights_are_still_loaded(self, shapes, tmp_path):
        options = {"data_root": str(shapes), "model.network.backbone.weights": "gone.pth"}
        with pytest.raises(InputError, match=r"backbone weights gone\.pth: no such file"):
            train(TINY, work_dir=tmp_path, resume=True, options=options)

    def test_what_cannot_be_resumed_is_refused(self, trained, shapes, tmp_path):
        weights = tmp_path / "weights.pth"
        write_checkpoint(weights, {"class_head.weight": torch.zeros(1)}, {})
        options = {"data_root": str(shapes)}
        for path, changed, message in (
            (weights, {}, "not a training checkpoint"),
            (shapes / "train.json", {}, "no PyTorch"),
            (
                trained[0] / "epoch_2.pth",
                {"model.network.num_classes": 9},
                "tensors are not those",
            ),
        ):
            with pytest.raises(InputError, match=message):
                train(TINY, work_dir=tmp_path / "run", resume=path, options={**options, **changed})

    def test_a_changed_learning_rate_is_said(self, trained, shapes, tmp_path):
        options = {"data_root": str(shapes), "train_cfg.max_epochs": 3, "optim_wrapper.optimizer.lr": 1e-5}
        train(TINY, work_dir=tmp_path, resume=trained[0] / "epoch_2.pth", options=options)
        assert "the config's 1e-05 is not used" in next(tmp_path.glob("*/*.log")).read_text()
