"""What the pages show runs as it stands."""

import json
import shlex

import pytest

from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.models import DeformableDETR

from .markdown import python_blocks, run_page
from .places import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_loop_in_plain_pytorch_trains_and_is_short(tmp_path, capsys):
    loop = python_blocks(DOCS / "plain_pytorch.md")[0]
    assert len(loop.splitlines()) <= 40
    names = run_page(DOCS / "plain_pytorch.md", tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert [line[0] for line in printed[:2]] == ["0", "1"]
    assert "circle" in printed[2]
    assert len(names["detections"][0].boxes) == 30
    assert list(names["detector"].class_names) == ["square"]


def test_own_parts_train_test_and_predict(shapes, tmp_path):
    run_page(DOCS / "own_parts.md", tmp_path)
    options = [f"data_root={shapes}", "train_dataloader.batch_size=4", "train_cfg.max_epochs=1"]
    assert main(["train", "my_set.py", "--cfg-options", *options, "train_cfg.val_interval=1"]) == 0
    run = tmp_path / "work_dirs" / "my_set"
    assert "AP50 0." in next(run.glob("*/*.log")).read_text()
    checkpoint = str(run / "epoch_1.pth")
    assert main(["test", "my_set.py", checkpoint, "--cfg-options", f"data_root={shapes}"]) == 0
    assert main(["predict", str(shapes / "val"), "--model", "my_set.py", "--checkpoint", checkpoint]) == 0


def test_every_format_of_the_page_is_the_same_set(tmp_path, capsys):
    run_page(DOCS / "data.md", tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "coco [20, 10, 60, 80] cat"
    assert [line.split()[0] for line in printed] == ["coco", "yolo", "voc", "cvat"]
    for line in printed:
        box = json.loads(line[line.index("[") : line.index("]") + 1])
        assert box == pytest.approx([20, 10, 60, 80])
        assert line.endswith("] cat")


@pytest.mark.slow
def test_getting_started(tmp_path, capsys):
    """The page from top to bottom, but for what is installed or fetched."""
    first, last = python_blocks(DOCS / "getting_started.md")
    exec(first)
    text = (DOCS / "getting_started.md").read_text()
    here = text.split("## Five minutes")[1].split("## The same on photographs")[0]
    lines = [line for line in here.splitlines() if line.startswith("detr-kit ")]
    assert len(lines) == 6
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    assert "0 errors" in capsys.readouterr().out
    assert {"best.pth", "last.pth", "config.py", "results.csv", "curves.png"} <= {
        path.name for path in (tmp_path / "work_dirs" / "first").iterdir()
    }
    exec(last)
    assert (tmp_path / "found" / "one.jpg").is_file()


def test_training_from_python(tmp_path, capsys):
    names = run_page(DOCS / "training_from_python.md", tmp_path)
    assert 0 <= names["figures"]["coco/AP"] <= names["figures"]["coco/AP50"] <= 1
    assert isinstance(names["network"], DeformableDETR)
    assert isinstance(json.loads((tmp_path / "detections.json").read_text()), list)
    assert (tmp_path / "runs" / "second" / "epoch_1.pth").is_file()


def test_the_pages_own_config_is_read_from_any_folder(tmp_path):
    block = next(b for b in python_blocks(DOCS / "config.md") if b.startswith("# my_set.py"))
    (tmp_path / "my_set.py").write_text(block)
    config = read_config(tmp_path / "my_set.py")
    assert config.model.network.num_classes == 3
    assert config.model.network.type == "DeformableDETR"
