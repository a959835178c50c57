"""Training, resuming and testing as a user runs them, on a small set."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from detr_kit.checkpoints import read_checkpoint
from detr_kit.cli import main
from detr_kit.config import config_names, read_config
from detr_kit.engine import Features, evaluate, prepare_config, train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.engine.optim_wrapper import AmpOptimWrapper
from detr_kit.errors import InputError

from .conftest import TINY

ROOT = Path(__file__).resolve().parents[1]


def test_a_run_leaves_logs_checkpoints_and_curves(trained):
    work_dir, _ = trained
    assert (work_dir / "epoch_2.pth").is_file()
    assert list(work_dir.glob("best_coco_AP_epoch_*.pth"))
    assert Image.open(work_dir / "curves.png").size[0] > 500
    lines = [line for line in read_scalars(work_dir) if "loss" in line]
    assert {"lr", "data_time", "grad_norm", "loss_ce", "loss_bbox", "loss_giou", "loss_auxiliary"} <= set(
        lines[0]
    )
    log = next(work_dir.glob("*/*.log")).read_text()
    assert "24 images" in log
    assert "eta:" in log


def test_training_learns(trained):
    lines = [line["loss"] for line in read_scalars(trained[0]) if "loss" in line]
    assert lines[-1] < 0.9 * lines[1]  # the first that is a mean of a whole window


def test_the_checkpoint_names_its_classes(trained):
    file = read_checkpoint(trained[0] / "epoch_2.pth")
    assert file.metadata["classes"] == ["circle", "square", "triangle", "star", "ring"]
    assert file.metadata["category_ids"] == [1, 2, 3, 4, 5]


def test_a_checkpoint_evaluates_to_what_the_run_said(trained, shapes, tmp_path):
    work_dir, _ = trained
    out = tmp_path / "detections.json"
    figures = evaluate(
        TINY, work_dir / "epoch_2.pth", out=out, work_dir=tmp_path, options={"data_root": str(shapes)}
    )
    during = [line for line in read_scalars(work_dir) if "coco/AP" in line][-1]
    # The log holds four decimals less than the metric has; the two runs are otherwise the same computation.
    assert figures["coco/AP"] == pytest.approx(during["coco/AP"], abs=1e-6)
    assert figures["coco/AR100"] == pytest.approx(during["coco/AR100"], abs=1e-6)
    detections = json.loads(out.read_text())
    assert {d["image_id"] for d in detections} == set(range(1, 9))
    assert {d["category_id"] for d in detections} <= {1, 2, 3, 4, 5}


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(trained, shapes, tmp_path):
    work_dir, runner = trained
    train(TINY, work_dir=tmp_path, options={"data_root": str(shapes), "train_cfg.max_epochs": 1})
    resumed = train(TINY, work_dir=tmp_path, resume=True, options={"data_root": str(shapes)})
    assert resumed.epoch == 2
    assert resumed.iter == runner.iter
    content = torch.load(work_dir / "epoch_2.pth", weights_only=True)  # tensors and plain data only
    assert content["meta"]["epoch"] == 2
    history = resumed.message_hub.get_scalar("train/loss").data[0]
    assert len(history) == runner.iter  # the log goes on where it was


def test_as_many_checkpoints_stay_as_were_asked_for(shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 3, "train_cfg.val_interval": 9,
               "default_hooks.checkpoint.max_keep_ckpts": 2}  # fmt: skip
    train(TINY, work_dir=tmp_path, options=options)
    assert {path.name for path in tmp_path.glob("epoch_*.pth")} == {"epoch_2.pth", "epoch_3.pth"}
    train(TINY, work_dir=tmp_path, options=options | {"train_cfg.max_epochs": 4}, resume=True)
    assert {path.name for path in tmp_path.glob("epoch_*.pth")} == {"epoch_3.pth", "epoch_4.pth"}


def test_a_new_run_writes_over_no_checkpoint_of_an_earlier_one(trained, shapes, tmp_path):
    earlier = {}
    for name in ("epoch_2.pth", "last_checkpoint"):
        earlier[name] = (trained[0] / name).read_bytes()
        (tmp_path / name).write_bytes(earlier[name])
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1, "train_cfg.val_interval": 9}
    train(TINY, work_dir=tmp_path, options=options)
    (aside,) = tmp_path.glob("earlier_*")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == earlier
    assert {path.name for path in tmp_path.glob("epoch_*.pth")} == {"epoch_1.pth"}


def test_training_starts_from_weights_of_any_format(trained, shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1, "model.network.num_classes": 7}
    options["load_from"] = str(trained[0] / "epoch_2.pth")
    train(TINY, work_dir=tmp_path, options=options)
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "class_heads.0.weight" in log
    assert "circle, square, triangle, star, ring" in log  # their rows are carried over
    assert "5 labels for model.network.num_classes=7" in log


def test_mixed_precision_trains_on_the_cpu(shapes, tmp_path):
    runner = train(
        TINY,
        work_dir=tmp_path,
        features=Features(amp="bf16"),
        options={"data_root": str(shapes), "train_cfg.max_epochs": 1},
    )
    assert isinstance(runner.optim_wrapper, AmpOptimWrapper)
    losses = [line["loss"] for line in read_scalars(tmp_path) if "loss" in line]
    assert all(0 < loss < 100 for loss in losses)
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}


def test_parameter_groups_are_those_of_the_recipe(shapes, tmp_path):
    recipe = read_config("deformable_detr_r50").optim_wrapper.paramwise_cfg.to_dict()
    options = {"data_root": str(shapes), "optim_wrapper.paramwise_cfg": recipe}
    config = prepare_config(TINY, work_dir=tmp_path, options=options)
    from mmengine.registry import init_default_scope

    from detr_kit.registry import RUNNERS

    init_default_scope("detr_kit")
    config.experiment_name = "groups"
    runner = RUNNERS.get("DetectionRunner").from_cfg(config)
    groups = runner.build_optim_wrapper(runner.cfg.optim_wrapper).optimizer.param_groups
    assert [round(group["lr"] / 1e-3, 6) for group in groups] == [1, 0.1]
    slow = {id(p) for p in groups[1]["params"]}
    for name, parameter in runner.model.named_parameters():
        expected = any(part in name for part in ("backbone", "sampling_offsets", "reference_points"))
        assert (id(parameter) in slow) == expected, name
    assert sum(len(group["params"]) for group in groups) == len(list(runner.model.parameters()))


@pytest.mark.parametrize(
    "name", [*config_names(), *map(str, sorted((ROOT / "configs" / "bccd_cpu").glob("*.py")))]
)
def test_every_config_passes_its_own_check(name):
    config = prepare_config(name)
    assert config.train_dataloader.dataset.data_root == config.data_root


BAD_CONFIGS = {
    "unknown section": (
        "train_dataloder = dict(batch_size=2)",
        "unknown key 'train_dataloder'; did you mean",
    ),
    "unknown argument": (
        "model = dict(network=dict(backbone=dict(depht=18)))",
        "model.network.backbone: ResNet takes no argument 'depht'; did you mean 'depth'",
    ),
    "unknown type": (
        'model = dict(network=dict(backbone=dict(type="ResNets")))',
        "model.network.backbone: type='ResNets' is no model .*did you mean 'ResNet'",
    ),
    "unknown transform": (
        'train_dataloader = dict(dataset=dict(transforms=[dict(type="RandomFlip")]))',
        r"train_dataloader.dataset.transforms.0: type='RandomFlip' is no transform",
    ),
    "unknown optimizer": (
        'optim_wrapper = dict(optimizer=dict(type="AdamWW"))',
        "optim_wrapper.optimizer: type='AdamWW' is no optimizer",
    ),
    "unknown loader argument": (
        "val_dataloader = dict(batchsize=2)",
        "val_dataloader: DataLoader takes no argument 'batchsize'; did you mean 'batch_size'",
    ),
    "not Python": ("model = dict(", "cannot be read: SyntaxError"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_slips_in_a_config_are_found_before_anything_runs(name, tmp_path, capsys):
    text, message = BAD_CONFIGS[name]
    path = tmp_path / "config.py"
    path.write_text(f'_base_ = "{TINY}"\n{text}\n')
    with pytest.raises(InputError, match=message) as error:
        prepare_config(path)
    assert "config.py" in str(error.value)
    assert main(["train", str(path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "Traceback" not in printed


def test_overrides_have_to_reach_something(shapes):
    with pytest.raises(InputError, match="has no 'modle'"):
        prepare_config(TINY, options={"modle.network.num_queries": 3})
    with pytest.raises(InputError, match="takes no argument 'num_querys'"):
        prepare_config(TINY, options={"model.network.num_querys": 3})


class TestCommandLine:
    """What a user types; the exit code says whether it worked."""

    def _run(self, *arguments, cwd=ROOT):
        return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)

    def test_train_then_test(self, shapes, tmp_path):
        options = ["--work-dir", tmp_path, "--cfg-options", f"data_root={shapes}", "train_cfg.max_epochs=1"]
        done = self._run("tools/train.py", TINY, *options)
        assert done.returncode == 0, done.stderr
        assert "Epoch(train) [1][4/6]" in done.stdout + done.stderr
        done = self._run(
            "tools/test.py", TINY, tmp_path / "epoch_1.pth", "--work-dir", tmp_path / "test",
            "--cfg-options", f"data_root={shapes}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "AP50" in done.stdout + done.stderr

    def test_a_users_mistake_is_one_line(self, tmp_path):
        done = self._run("tools/train.py", "deformable_detr_r50", "--work-dir", tmp_path,
                         "--cfg-options", "model.network.backbone.weights=None")  # fmt: skip
        assert done.returncode == 2
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert "data/coco/annotations/instances_train2017.json: no such file" in errors[0]
        assert "Traceback" not in done.stderr

    def test_an_unreadable_image_stops_training_with_its_name(self, shapes, tmp_path):
        import shutil

        shutil.copytree(shapes, tmp_path / "data")
        image = tmp_path / "data" / "train" / "000003.png"
        image.write_bytes(image.read_bytes()[:200])
        done = self._run("tools/train.py", TINY, "--work-dir", tmp_path / "run", "--cfg-options",
                         f"data_root={tmp_path / 'data'}", "train_dataloader.num_workers=1",
                         "data_check=False")  # fmt: skip
        assert done.returncode == 2
        assert "000003.png: truncated" in done.stderr or "000003.png: not an image" in done.stderr
        assert "Traceback" not in done.stderr

    def test_too_few_classes_are_noticed_before_the_first_step(self, shapes, tmp_path, capsys):
        arguments = ["train", str(TINY), "--work-dir", str(tmp_path), "--cfg-options", f"data_root={shapes}",
                     "model.network.num_classes=3"]  # fmt: skip
        assert main(arguments) == 2
        assert (
            "5 labels, but model.network.num_classes=3; set model.network.num_classes=5"
            in capsys.readouterr().err
        )

    def test_a_checkpoint_of_another_model(self, trained, shapes, tmp_path, capsys):
        arguments = ["test", "deformable_detr_r18_shapes", str(trained[0] / "epoch_2.pth"),
                     "--work-dir", str(tmp_path), "--cfg-options", f"data_root={shapes}"]  # fmt: skip
        assert main(arguments) == 2
        assert "choose the config of the checkpoint" in capsys.readouterr().err

    def test_resume_from_nowhere(self, tmp_path, capsys):
        assert main(["train", str(TINY), "--work-dir", str(tmp_path), "--resume", "gone.pth"]) == 2
        assert "gone.pth: no such file" in capsys.readouterr().err

    def test_predict_draws_and_writes_json(self, trained, shapes, tmp_path, capsys):
        image = str(shapes / "val" / "000001.png")
        arguments = ["predict", image, "--model", str(TINY), "--out", str(tmp_path),
                     "--checkpoint", str(trained[0] / "epoch_2.pth"), "--json",
                     "--score-threshold", "0"]  # fmt: skip
        assert main(arguments) == 0
        assert "1 done" in capsys.readouterr().out
        found = json.loads((tmp_path / "000001.png.json").read_text())
        assert (found["width"], found["height"]) == (64, 64)
        assert len(found["detections"]) > 0
        assert (tmp_path / "000001.png").is_file()

    def test_env_and_version(self, capsys):
        assert main(["env"]) == 0
        assert torch.__version__ in capsys.readouterr().out
