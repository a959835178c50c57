"""Mistakes that a user could make or meet, each found once in the wild and kept from coming back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from detr_kit.categories import Categories
from detr_kit.checkpoints import read_checkpoint, write_checkpoint
from detr_kit.cli import main
from detr_kit.data import CocoDataset
from detr_kit.engine import evaluate, train
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.errors import InputError
from detr_kit.evaluation import evaluate_detections, load_ground_truth, to_coco_detections
from detr_kit.losses.giou import generalized_iou
from detr_kit.structures import Prediction

from .conftest import TINY

ROOT = Path(__file__).resolve().parents[1]
ONE_EPOCH = {"train_cfg.max_epochs": 1}


def _rewrite(folder, shapes, change):
    """A copy of the shapes set with its JSON files changed."""
    shutil.copytree(shapes, folder)
    for split in ("train", "val"):
        data = json.loads((folder / f"{split}.json").read_text())
        change(data)
        (folder / f"{split}.json").write_text(json.dumps(data))
    return {"data_root": str(folder)}


class TestResume:
    def test_a_config_with_load_from_goes_on_from_its_own_run(self, trained, shapes, tmp_path):
        other = trained[0] / "epoch_2.pth"
        kept = {path.name for path in trained[0].glob("*.pth")}
        options = {"data_root": str(shapes), "load_from": str(other)}
        first = train(TINY, work_dir=tmp_path, options={**options, **ONE_EPOCH})
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


class TestDivergence:
    def test_a_run_whose_loss_is_nan_stops(self, shapes, tmp_path):
        options = {
            "data_root": str(shapes),
            "optim_wrapper.optimizer.lr": 1e30,
            "optim_wrapper.clip_grad": None,
        }
        with pytest.raises(InputError, match="the loss is nan at iteration"):
            train(TINY, work_dir=tmp_path, options=options)

    def test_nan_boxes_are_not_scored(self, tmp_path):
        nan = float("nan")
        prediction = Prediction(
            torch.tensor([nan, 0.5]), torch.tensor([0, 0]), torch.tensor([[nan] * 4, [0, 0, 5, 5]])
        )
        detections = to_coco_detections(prediction, 1, Categories(("a",), (1,)))
        assert [d["score"] for d in detections] == [0.5]
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(_one_box(1)))
        with pytest.raises(InputError, match="not finite"):
            evaluate_detections(path, [{"image_id": 1, "category_id": 1, "bbox": [nan] * 4, "score": nan}])


def _one_box(*ids, **fields):
    boxes = [[10, 10, 30, 30], [60, 60, 20, 20]]
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, **fields}
            for i, box in zip(ids, boxes, strict=False)
        ],
    }


@pytest.mark.parametrize("data", [
    _one_box(0), _one_box(1, 1), _one_box(1, iscrowd=None), _one_box(1, area=None),
], ids=["id 0", "repeated id", "iscrowd null", "area null"])  # fmt: skip
def test_annotation_ids_do_not_change_ap(data, tmp_path):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(data))
    detections = [
        {"image_id": 1, "category_id": 1, "bbox": a["bbox"], "score": 0.9} for a in data["annotations"]
    ]
    assert evaluate_detections(path, detections).figures["AP"] == pytest.approx(1)


def test_annotations_without_ids_train_and_validate(shapes, tmp_path):
    options = _rewrite(tmp_path / "data", shapes, lambda d: [a.pop("id") for a in d["annotations"]])
    train(TINY, work_dir=tmp_path / "run", options={**options, **ONE_EPOCH})
    assert load_ground_truth(tmp_path / "data" / "val.json").getAnnIds()


def test_odd_fields_are_refused_by_name(shapes, tmp_path):
    def name_na(data):
        data["categories"][0]["name"] = "N/A"

    def bad_height(data):
        data["images"][0]["height"] = "abc"

    for i, (change, message) in enumerate(((name_na, "'N/A'"), (bad_height, "height='abc'"))):
        root = _rewrite(tmp_path / str(i), shapes, change)["data_root"]
        with pytest.raises(InputError, match=message):
            CocoDataset("train.json", "train", data_root=root)


def test_too_few_images_or_no_boxes_stop_a_run(shapes, tmp_path):
    options = {"data_root": str(shapes), "train_dataloader.batch_size": 64}
    with pytest.raises(InputError, match="24 images do not fill a batch"):
        train(TINY, work_dir=tmp_path / "a", options=options)
    options = _rewrite(tmp_path / "data", shapes, lambda data: data.update(annotations=[]))
    with pytest.raises(InputError, match="no object to learn from"):
        train(TINY, work_dir=tmp_path / "b", options=options)


def test_options_that_nothing_reads_are_refused(shapes, tmp_path, capsys):
    for option in ("max_epochs=1", "lr=5", "optim_wrapper.clip_grad.max_nrom=1", "randomness.sed=1"):
        arguments = ["train", str(TINY), "--work-dir", str(tmp_path), "--cfg-options", f"data_root={shapes}"]
        assert main([*arguments, option]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_a_data_root_given_as_option_wins(trained, tmp_path):
    dumped = next(trained[0].glob("*.py"))
    with pytest.raises(InputError, match=r"/nonexistent/val\.json: no such file"):
        evaluate(dumped, trained[0] / "epoch_2.pth", work_dir=tmp_path, options={"data_root": "/nonexistent"})


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


def test_a_perfect_box_of_one_pixel_costs_nothing():
    box = torch.tensor([[0.5, 0.5, 0.5 + 1 / 1333, 0.5 + 1 / 800]])
    assert generalized_iou(box, box).item() == pytest.approx(1, abs=1e-4)


def test_weights_to_start_from_may_be_a_folder(shapes, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"a folder without config\.json"):
        train(
            TINY,
            work_dir=tmp_path / "run",
            options={"data_root": str(shapes), "load_from": str(tmp_path / "folder")},
        )


def test_two_processes_train_and_test_on_the_cpu(shapes, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def torchrun(*arguments):
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            "2",
            "--standalone",
        ]
        options = ["--launcher", "pytorch", "--cfg-options", f"data_root={shapes}", "train_cfg.max_epochs=1"]
        return subprocess.run(
            [*command, *map(str, arguments), *options],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    done = torchrun("tools/train.py", TINY, "--work-dir", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 process(es)" in done.stderr + done.stdout
    during = [line for line in read_scalars(tmp_path) if "coco/AP" in line][-1]
    out = tmp_path / "detections.json"
    done = torchrun(
        "tools/test.py", TINY, tmp_path / "epoch_1.pth", "--work-dir", tmp_path / "test", "--out", out
    )
    assert done.returncode == 0, done.stderr[-2000:]
    detections = json.loads(out.read_text())
    assert {d["image_id"] for d in detections} == set(range(1, 9))
    figures = evaluate_detections(shapes / "val.json", detections).figures
    assert figures["AP"] == pytest.approx(during["coco/AP"], abs=1e-6)
    assert read_checkpoint(tmp_path / "epoch_1.pth").metadata["classes"][0] == "circle"
