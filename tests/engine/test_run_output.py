"""What a run says, and the files that it leaves for people and scripts."""

import csv
import json
import shlex
import subprocess
import sys

import pytest
import torch

from detr_kit.cli import main
from detr_kit.engine import train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.engine.hooks.named_checkpoints import name_checkpoint
from detr_kit.errors import InputError
from detr_kit.fine_tune import evaluate_data

from ..data_formats import write_yolo
from ..places import TINY


def _log(work_dir):
    return sorted(work_dir.glob("*/*.log"))[-1].read_text()


def test_the_first_line_comes_before_the_slow_imports(tmp_path):
    """The command line knows no torch until it has said what it does."""
    code = "import sys, detr_kit.cli; sys.exit('torch' in sys.modules or 'mmengine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_short_epoch_has_a_point_of_the_log_for_every_batch(trained):
    steps = [line["step"] for line in read_scalars(trained[0]) if "loss" in line]
    assert steps == list(range(1, 13))  # two epochs of six batches; the config's interval is 2


def test_results_are_a_table_with_a_line_an_epoch(trained):
    with (trained[0] / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"seconds", "lr", "loss", "loss_ce", "class_error", "AP", "AP50"} <= set(rows[0])
    logged = [line["coco/AP"] for line in read_scalars(trained[0]) if "coco/AP" in line]
    assert [float(row["AP"]) for row in rows] == pytest.approx(logged, rel=1e-4)


def test_what_cannot_be_measured_is_left_out_of_the_log(trained):
    """The pictures are small, so is every object."""
    assert "-1.0000" not in _log(trained[0])
    assert all("coco/APl" not in line for line in read_scalars(trained[0]))


def test_best_and_last_stand_beside_the_numbered_checkpoints(trained):
    work_dir, _ = trained
    best = next(work_dir.glob("best_coco_AP_*.pth"))
    assert (work_dir / "best.pth").samefile(best)
    assert (work_dir / "last.pth").samefile(work_dir / "epoch_2.pth")


def test_a_run_ends_with_what_came_out_and_the_next_commands(trained, tmp_path, monkeypatch, capsys):
    work_dir, _ = trained
    log = _log(work_dir)
    summary = log[log.index("finished after 2 epochs; best AP 0.") :]
    commands = [shlex.split(line) for line in summary.splitlines() if line.startswith("  detr-kit ")]
    assert [command[1] for command in commands] == ["predict", "test", "export"]
    monkeypatch.chdir(tmp_path)
    predict, test, _ = commands
    assert main([*predict[1:], "--out", str(tmp_path / "out")]) == 0
    assert main([*test[1:], "--work-dir", str(tmp_path / "test")]) == 0


def test_a_run_that_goes_on_continues_its_table_and_a_new_one_sets_it_aside(shapes, tmp_path):
    options = {"data_root": str(shapes), "train_cfg.max_epochs": 1}
    train(TINY, work_dir=tmp_path, options=options)
    first = (tmp_path / "results.csv").read_text()
    train(TINY, work_dir=tmp_path, options=options | {"train_cfg.max_epochs": 2}, resume=True)
    assert [line[:2] for line in (tmp_path / "results.csv").read_text().splitlines()[1:]] == ["1,", "2,"]
    train(TINY, work_dir=tmp_path, options=options)
    (aside,) = tmp_path.glob("earlier_*")
    assert {"best.pth", "last.pth", "epoch_2.pth", "results.csv"} <= {path.name for path in aside.iterdir()}
    assert (aside / "results.csv").read_text() != first
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 2


class TestNames:
    """Whatever a file system can do, a name stands for a whole file."""

    def _forbid(self, monkeypatch, *names):
        def forbidden(*_, **__):
            raise OSError("not on this file system")

        for name in names:
            monkeypatch.setattr(name, forbidden)

    @pytest.mark.parametrize("ways", [(), ("os.link",), ("os.link", "os.symlink")])
    def test_a_link_of_either_kind_or_a_copy(self, tmp_path, monkeypatch, ways):
        self._forbid(monkeypatch, *ways)
        for number in ("1", "2", "2"):
            (tmp_path / f"epoch_{number}.pth").write_text(number)
            name_checkpoint(tmp_path / f"epoch_{number}.pth", "last.pth")
            assert (tmp_path / "last.pth").read_text() == number
        assert {path.name for path in tmp_path.iterdir()} == {"epoch_1.pth", "epoch_2.pth", "last.pth"}

    def test_where_nothing_works_the_name_stands_for_nothing(self, tmp_path, monkeypatch):
        (tmp_path / "last.pth").write_text("of an earlier epoch")
        (tmp_path / "epoch_2.pth").write_text("2")
        self._forbid(monkeypatch, "os.link", "os.symlink", "shutil.copyfile")
        name_checkpoint(tmp_path / "epoch_2.pth", "last.pth")
        assert {path.name for path in tmp_path.iterdir()} == {"epoch_2.pth"}


class TestEvaluatingWithoutAConfig:
    def test_the_checkpoint_says_what_it_is_of(self, trained, sets, tmp_path, capsys):
        checkpoint = str(trained[0] / "best.pth")
        command = ["test", "--data", str(sets / "coco"), checkpoint, "--work-dir", str(tmp_path)]
        assert main([*command, "--split", "train"]) == 0
        assert "its train split, 10 pictures" in capsys.readouterr().out
        assert main([*command, "--split", "test"]) == 2
        assert "--split test: " in capsys.readouterr().err

    def test_classes_are_matched_by_name(self, trained, sets, tmp_path, capsys):
        """In another order, one of them missing and one unknown: the figures of the others stay the same."""
        plain = evaluate_data(sets / "coco", trained[0] / "best.pth", work_dir=tmp_path / "plain")
        data = json.loads((sets / "coco" / "val.json").read_text())
        order = {"ring": 1, "circle": 2, "square": 3, "triangle": 4, "star": 5}
        ids = {c["id"]: order[c["name"]] for c in data["categories"]}
        data["categories"] = [{"id": number, "name": name} for name, number in order.items()]
        for annotation in data["annotations"]:
            annotation["category_id"] = ids[annotation["category_id"]]
        write_yolo(tmp_path / "yolo", {"val": data}, sets / "coco" / "images")
        other = evaluate_data(tmp_path / "yolo", trained[0] / "best.pth", work_dir=tmp_path / "other")
        assert other == pytest.approx(plain, abs=1e-6)
        yaml = tmp_path / "yolo" / "data.yaml"
        yaml.write_text(yaml.read_text().replace("circle", "disc"))
        evaluate_data(tmp_path / "yolo", trained[0] / "best.pth", work_dir=tmp_path / "disc")
        printed = capsys.readouterr().out
        assert "objects left out: disc" in printed
        assert "not in this set, and so not in the mean: circle" in printed
        yaml.write_text("path: .\nval: images/val\nnames: [a, b, c, d, e]\n")
        with pytest.raises(InputError, match="none of its classes"):
            evaluate_data(tmp_path / "yolo", trained[0] / "best.pth", work_dir=tmp_path / "none")
        assert not (tmp_path / "none").exists()

    def test_a_checkpoint_alone_says_not_on_what(self, capsys):
        assert main(["test", "builtin"]) == 2
        assert "builtin: on what?" in capsys.readouterr().err


def test_one_class_has_no_class_error(shapes, tmp_path):
    data = json.loads((shapes / "train.json").read_text())
    data["categories"] = data["categories"][:1]
    data["annotations"] = [{**a, "category_id": data["categories"][0]["id"]} for a in data["annotations"]]
    (tmp_path / "train.json").write_text(json.dumps(data))
    options = {
        "data_root": str(shapes), "model.network.num_classes": 1, "train_cfg.max_epochs": 1,
        "train_cfg.val_interval": 2, "train_cfg.val_begin": 2,
        "train_dataloader.dataset.annotations": str(tmp_path / "train.json"),
        "val_dataloader.dataset.annotations": str(tmp_path / "train.json"),
        "val_dataloader.dataset.images": "train",
    }  # fmt: skip
    train(TINY, work_dir=tmp_path / "run", options=options)
    history = torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=True)["message_hub"]["log_scalars"]
    assert "train/class_error" not in history
    assert "train/matched_iou" in history
