"""What a user types; the exit code says whether it worked."""

import json
import runpy
import shutil
import sys

import pytest
import torch

from detr_kit.cli import main

from ..engine.processes import Command
from ..places import ROOT, TINY


class TestCommandLine:
    """What a user types; the exit code says whether it worked."""

    @pytest.fixture
    def script(self, monkeypatch, capfd):
        """Runs a file of tools/; its exit code and what it printed."""

        def run(name, *arguments):
            monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
            with pytest.raises(SystemExit) as exit:
                runpy.run_path(str(ROOT / "tools" / name), run_name="__main__")
            return exit.value.code, "".join(capfd.readouterr())

        return run

    def test_train_then_test(self, script, shapes, tmp_path):
        options = ["--work-dir", tmp_path, "--cfg-options", f"data_root={shapes}", "train_cfg.max_epochs=1"]
        code, output = script("train.py", TINY, *options)
        assert code == 0, output
        assert "Epoch(train) [1][4/6]" in output
        code, output = script(
            "test.py", TINY, tmp_path / "epoch_1.pth", "--work-dir", tmp_path / "test",
            "--cfg-options", f"data_root={shapes}",
        )  # fmt: skip
        assert code == 0, output
        assert "AP50" in output

    def test_a_users_mistake_is_one_line(self, tmp_path):
        arguments = ["train", "deformable_detr_r50", "--work-dir", tmp_path]
        code, output = Command(*arguments, "--cfg-options", "model.network.backbone.weights=None").finish()
        assert code == 2
        errors = [line for line in output.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert "data/coco/annotations/instances_train2017.json: no such file" in errors[0]
        assert "Traceback" not in output

    def test_an_unreadable_image_stops_training_with_its_name(self, shapes, tmp_path):
        shutil.copytree(shapes, tmp_path / "data")
        image = tmp_path / "data" / "train" / "000003.png"
        image.write_bytes(image.read_bytes()[:200])
        code, output = Command(
            "train", TINY, "--work-dir", tmp_path / "run", "--cfg-options",
            f"data_root={tmp_path / 'data'}", "train_dataloader.num_workers=1", "data_check=False",
        ).finish()  # fmt: skip
        assert code == 2
        assert "000003.png: truncated" in output or "000003.png: not an image" in output
        assert "Traceback" not in output

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


def test_options_that_nothing_reads_are_refused(shapes, tmp_path, capsys):
    for option in ("max_epochs=1", "lr=5", "optim_wrapper.clip_grad.max_nrom=1", "randomness.sed=1"):
        arguments = ["train", str(TINY), "--work-dir", str(tmp_path), "--cfg-options", f"data_root={shapes}"]
        assert main([*arguments, option]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_predict_goes_on_after_a_bad_image(trained, shapes, tmp_path, capsys):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        shutil.copy(shapes / "val" / "000001.png", tmp_path / folder / "x.png")
    images = [str(tmp_path / "a" / "x.png"), str(tmp_path / "gone.png"), str(tmp_path / "b" / "x.png")]
    arguments = ["--model", str(TINY), "--checkpoint", str(trained[0] / "epoch_2.pth"), "--out"]
    assert main(["predict", *images, *arguments, str(tmp_path / "out")]) == 1
    names = sorted(p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith("."))
    assert names == ["x.png", "x_2.png"]
    printed = capsys.readouterr().err
    assert "1 could not be read" in printed
    assert "gone.png: No such file" in printed
    assert main(["predict", images[0], *arguments, images[0]]) == 2  # --out is a file
