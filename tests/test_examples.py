"""Every example runs as it stands, on small data."""

import ast
import csv
import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torchvision import tv_tensors

import detr_kit
from detr_kit import Detector
from detr_kit.config import read_config
from detr_kit.data import write_shapes
from detr_kit.data.formats import find_data

from .places import ROOT
from .serving.process import slow_server

EXAMPLES = ROOT / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Runs an example in an empty folder; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photo")
    write_shapes(folder, num_train=0, num_val=1, image_size=128)
    return folder / "val" / "000001.png"


def _found(text):
    return re.findall(r"(circle|square|triangle|star|ring) 0\.\d\d at ", text)


def test_predict(example, photo, tmp_path):
    assert _found(example("predict.py", photo, "builtin"))
    assert (tmp_path / "predicted.png").is_file()


@pytest.mark.slow
def test_fine_tune(example, sets):
    printed = example("fine_tune.py", sets / "voc", "builtin", 2)
    assert "epoch 2: loss" in printed
    assert re.search(r"validation: AP 0\.[1-9]", printed)


def test_custom_data(example, sets, tmp_path):
    split = json.loads((sets / "coco" / "train.json").read_text())
    name_of = {c["id"]: c["name"] for c in split["categories"]}
    file_of = {i["id"]: i["file_name"] for i in split["images"]}
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "class", "x0", "y0", "x1", "y1"])
        for a in split["annotations"]:
            x, y, w, h = a["bbox"]
            table.writerow([file_of[a["image_id"]], name_of[a["category_id"]], x, y, x + w, y + h])
    pictures = sets / "coco" / "images"
    assert "0 errors" in example("custom_data.py", "boxes.csv", pictures)
    (read,) = find_data("coco/all.json", pictures).splits.values()
    assert len(read.read().data["annotations"]) == len(split["annotations"])


def test_custom_backbone(shapes, tmp_path):
    trained = detr_kit.train(
        shapes,
        model=str(EXAMPLES / "custom_backbone" / "config.py"),
        epochs=1,
        batch_size=12,
        work_dir=tmp_path,
        options={"model.network.backbone.weights": None},
    )
    assert type(trained.detector.network.backbone).__name__ == "RegNet"


def test_custom_augmentation(shapes, tmp_path):
    config = str(EXAMPLES / "custom_augmentation" / "config.py")
    run = dict(checkpoint="builtin", epochs=1, batch_size=12, work_dir=tmp_path)
    trained = detr_kit.train(shapes, model=config, **run)
    assert "Fog" in str(read_config(trained.folder / "config.py").train_dataloader.dataset)
    picture = tv_tensors.Image(torch.full((3, 4, 4), 100, dtype=torch.uint8))
    foggy = sys.modules["fog"].Fog(p=1.0)(picture)
    assert 100 < foggy.unique().item() <= 100 + 0.6 * 155


@pytest.mark.slow
def test_the_plain_loop_is_forty_lines(example, shapes):
    text = (EXAMPLES / "plain_loop.py").read_text().split('"""')[2]
    assert len([line for line in text.splitlines() if line.strip()]) <= 40
    printed = example("plain_loop.py", shapes, 2)
    assert "epoch 2: loss" in printed
    assert re.search(r"│ 0\.[1-9]", printed)  # AP


def test_convert(example, tmp_path):
    printed = example("convert.py", "builtin", "official", "shapes.pth")
    assert float(re.search(r"score: (\S+)", printed)[1]) < 1e-5
    assert (tmp_path / "shapes.pth").is_file()


@pytest.mark.slow
def test_export_and_run_without_us(example, photo, trained):
    pytest.importorskip("onnxscript")
    weights = trained[0] / "epoch_2.pth"  # of a tiny network: the built-in one takes a minute
    assert "onnx" in example("export_onnx.py", weights, "small.onnx")
    expected = Detector(checkpoint=weights, device="cpu")(photo, score_threshold=0)
    lines = example("run_onnx.py", "small.onnx", photo, 0).splitlines()
    assert len(lines) == len(expected)
    name, score, *_, x0, y0, x1, y1 = re.findall(r"[\w.-]+", lines[0])
    assert name == expected.class_names[0]
    assert float(score) == pytest.approx(expected.scores[0].item(), abs=0.02)
    assert [float(x0), float(y0), float(x1), float(y1)] == pytest.approx(expected.boxes[0].tolist(), abs=3)


@pytest.mark.parametrize("name", ["run_onnx.py", "serve_client.py"])
def test_what_runs_without_us_imports_nothing_of_ours(name):
    tree = ast.parse((EXAMPLES / name).read_text())
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in modules if name.split(".")[0] in ("detr_kit", "torch", "torchvision")]


@pytest.mark.slow
def test_serve_client(example, photo):
    with slow_server() as (client, _, _):
        assert example("serve_client.py", str(client.base_url).rstrip("/"), photo).count("thing 0.90 at") == 1


def test_every_example_is_run_here():
    text = Path(__file__).read_text()
    for path in (p for p in EXAMPLES.iterdir() if p.suffix == ".py" or (p / "config.py").is_file()):
        assert f'"{path.name}"' in text, path
