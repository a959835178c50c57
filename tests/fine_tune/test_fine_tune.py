"""Training on a folder of COCO, VOC or YOLO files without a config, and the check before every run."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detr_kit import Detector
from detr_kit.checkpoints import checkpoint_path
from detr_kit.checkpoints.location import BUILTIN_FILE
from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.data import write_shapes
from detr_kit.defaults import BUILTIN
from detr_kit.engine import prepare_config
from detr_kit.errors import InputError
from detr_kit.fine_tune.base import _base_of_recipe
from detr_kit.fine_tune.preset import choose_preset
from detr_kit.fine_tune.run import write_fine_tune_config

from ..data_formats import write_coco
from ..places import TINY


class TestTrainingWithoutAConfig:
    ARGUMENTS = ("--model", str(TINY), "--epochs", "1", "--batch-size", "4", "--image-size", "48")

    @pytest.mark.parametrize("name", ["voc", "yolo"])
    def test_train_test_and_predict(self, sets, tmp_path, capsys, name):
        run = tmp_path / "run"
        assert main(["train", "--data", str(sets / name), *self.ARGUMENTS, "--work-dir", str(run)]) == 0
        printed = capsys.readouterr().out
        assert str(run / "config.py") in printed
        assert "num_classes=5" in printed
        text = (run / "config.py").read_text()
        assert text in printed  # and the run left it as it was
        checkpoint = next(run.glob("best_coco_AP_epoch_1.pth"))
        out = tmp_path / "detections.json"
        assert main(["test", str(run / "config.py"), str(checkpoint), "--out", str(out)]) == 0
        # Category ids of the outputs are the set's own: YOLO counts from 0, VOC's names are numbered from 1.
        ids = {d["category_id"] for d in json.loads(out.read_text())}
        assert ids <= set(range(5) if name == "yolo" else range(1, 6))
        detector = Detector(run / "config.py", checkpoint, device="cpu")
        written = ["circle", "square", "triangle", "star", "ring"]
        assert list(detector.class_names) == (written if name == "yolo" else sorted(written))
        picture = next((sets / "coco" / "images").iterdir())
        found = detector(picture, score_threshold=0)
        assert set(found.class_names) <= set(written)
        # The checkpoint alone says it all: the network, the size of the pictures, the names.
        alone = Detector(checkpoint=checkpoint, device="cpu")
        assert alone.class_names == detector.class_names
        assert torch.equal(alone(picture, score_threshold=0).boxes, found.boxes)

    def test_a_set_without_validation_split_is_divided_and_its_own_ids_are_kept(self, sets, tmp_path, capsys):
        data = json.loads((sets / "coco" / "train.json").read_text())
        for category in data["categories"]:
            category["id"] = 10 * category["id"]
        for annotation in data["annotations"]:
            annotation["category_id"] *= 10
        write_coco(tmp_path / "set", {"all": data}, sets / "coco" / "images")
        for run in ("a", "b"):
            write_fine_tune_config(tmp_path / "set" / "all.json", TINY, work_dir=tmp_path / run)
        assert "2 of 10 pictures are held out of training (seed 0)" in capsys.readouterr().out
        parts = [json.loads((tmp_path / run / "data" / "val.json").read_text()) for run in ("a", "b")]
        assert parts[0] == parts[1]
        assert [c["id"] for c in parts[0]["categories"]] == [10, 20, 30, 40, 50]

    def test_weights_are_taken_over_and_heads_of_other_classes_start_anew(self, trained, sets, tmp_path):
        checkpoint = str(trained[0] / "epoch_2.pth")
        # As many classes as before, in another order: VOC's are sorted by name. No row may be misread.
        run = tmp_path / "run"
        assert main(["train", "--data", str(sets / "voc"), *self.ARGUMENTS, "--checkpoint", checkpoint,
                     "--work-dir", str(run)]) == 0  # fmt: skip
        log = next(run.glob("*/*.log")).read_text()
        assert "re-initialised" in log
        assert "class_heads.0.weight" in log
        assert "circle, ring, square, star, triangle" in log

    def test_what_a_checkpoint_says_of_its_model_runs_nothing(self, trained, tmp_path):
        content = torch.load(trained[0] / "epoch_2.pth", weights_only=True)
        mark = tmp_path / "mark"
        content["meta"]["recipe"]["postprocessor"] = {"type": "os.system", "command": f"touch {mark}"}
        torch.save(content, tmp_path / "hostile.pth")
        with pytest.raises(InputError, match=r"hostile.pth: its recipe: it names the type 'os.system'"):
            Detector(checkpoint=tmp_path / "hostile.pth", device="cpu")
        assert not mark.exists()

    def test_an_edited_config_is_not_overwritten(self, sets, tmp_path):
        path = write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path)
        assert write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path) == path  # as for --resume
        path.write_text(path.read_text() + "\n# mine\n")
        with pytest.raises(InputError, match="it may have been edited"):
            write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path)

    def test_more_objects_than_queries_get_more_queries(self, sets, tmp_path):
        data = json.loads((sets / "coco" / "train.json").read_text())
        image = data["images"][0]["id"]
        data["annotations"] = [
            {"id": n + 1, "image_id": image, "category_id": 1, "bbox": [n, n, 20, 20], "iscrowd": 0}
            for n in range(31)
        ]
        write_coco(tmp_path / "many", {"train": data, "val": data}, sets / "coco" / "images")
        config = write_fine_tune_config(tmp_path / "many", TINY, work_dir=tmp_path / "run")
        assert "num_queries=50,  # a training picture has up to 31 objects" in config.read_text()
        assert prepare_config(config).model.network.num_queries == 50
        assert prepare_config(config).model.postprocessor.max_detections == 100

    def test_a_crowd_gets_as_many_detections_as_it_has_objects(self, sets, tmp_path):
        data = json.loads((sets / "coco" / "train.json").read_text())
        crowded = {**data, "annotations": [
            {"id": n + 1, "image_id": data["images"][0]["id"], "category_id": 1, "iscrowd": 0,
             "bbox": [3 * (n % 16), 3 * (n // 16), 3, 3]} for n in range(160)
        ]}  # fmt: skip
        write_coco(tmp_path / "many", {"train": data, "val": crowded}, sets / "coco" / "images")
        config = write_fine_tune_config(tmp_path / "many", TINY, work_dir=tmp_path / "run")
        assert "a picture has up to 160 objects: 12 queries, up to 240 detections" in config.read_text()
        assert prepare_config(config).model.postprocessor.max_detections == 240

    @pytest.mark.parametrize("model", ["detr_r50", "deformable_detr_r50_two_stage"])
    def test_the_papers_models_keep_their_augmentation_unless_a_size_is_given(self, sets, tmp_path, model):
        for size, sizes in ((None, [800]), (400, [400])):
            path = write_fine_tune_config(
                sets / "coco", model, work_dir=tmp_path / str(size), image_size=size, lr=3e-5, epochs=10
            )
            config = prepare_config(path)
            assert config.val_dataloader.dataset.transforms[0]["sizes"] == sizes
            assert config.train_dataloader.dataset.labels == "contiguous"
            assert config.model.network.num_classes == 5
            assert config.optim_wrapper.optimizer.lr == 3e-5
            assert config.param_scheduler[1]["milestones"] == [8]

    @pytest.mark.parametrize(("arguments", "message"), [
        ([], "give a config, or --data"),
        (["detr_r50", "--data", "x"], "give one of them"),
        (["detr_r50", "--epochs", "3"], "--epochs goes with --data; with a config: --cfg-options"),
        (["--data", "/nowhere"], "/nowhere: no such file or folder"),
        (["--data", "/nowhere", "--epochs", "0"], "--epochs 0: it must be larger than 0"),
        (["--data", "/nowhere", "--model", "detr_r51"], "did you mean 'detr_r50'"),
        (["--data", "/nowhere", "--checkpoint", "gone.pth"], "--checkpoint gone.pth: no such file"),
    ])  # fmt: skip
    def test_mistakes_are_one_line(self, arguments, message, capsys):
        assert main(["train", *arguments]) == 2
        assert message in capsys.readouterr().err


class TestPresets:
    """What a run is like where the command does not say: it follows from the number of training pictures."""

    def test_few_pictures_small_batches_no_dropout_a_moving_average_and_enough_steps(self, sets, tmp_path):
        config = prepare_config(write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path))
        assert config.train_dataloader.batch_size == 2
        assert config.model.network.transformer.dropout == 0.0
        assert [hook["type"] for hook in config.custom_hooks] == ["CurveHook", "EMAHook"]
        assert config.train_cfg.max_epochs == 300  # of 10 pictures
        assert config.model.postprocessor.nms_iou_threshold == 0.7
        assert "# 10 pictures to train on: preset small" in (tmp_path / "config.py").read_text()

    def test_the_recipe_stays_where_it_is_asked_for(self, sets, tmp_path):
        path = write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path, preset="recipe")
        config, own = prepare_config(path), prepare_config(TINY)
        assert config.train_dataloader.batch_size == own.train_dataloader.batch_size
        assert config.model.network.transformer == own.model.network.transformer
        assert config.custom_hooks == own.custom_hooks
        assert config.model.postprocessor == own.model.postprocessor
        assert config.train_cfg.max_epochs == 50

    def test_what_is_given_wins(self, sets, tmp_path):
        path = write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path, batch_size=5, epochs=7)
        config = prepare_config(path)
        assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (5, 7)
        path = write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path / "lr", lr=3e-3)
        assert prepare_config(path).optim_wrapper.optimizer.lr == 3e-3

    def test_a_learning_rate_for_larger_batches_is_lowered_and_a_lower_one_kept(self, sets, tmp_path):
        """The shapes model's 4e-4 is for batches of 16."""
        for model, preset, lr in (
            ("deformable_detr_r18_shapes", "small", 2e-4),
            ("deformable_detr_r18_shapes", "recipe", 4e-4),
            ("detr_r50", "small", 1e-4),
        ):
            path = write_fine_tune_config(
                sets / "coco", model, work_dir=tmp_path / model / preset, preset=preset
            )
            assert prepare_config(path).optim_wrapper.optimizer.lr == lr

    def test_steps_are_those_of_all_processes_and_accumulated_batches(self, tmp_path, monkeypatch):
        write_shapes(tmp_path / "set", num_train=200, num_val=1, image_size=32)
        texts = {}
        for name, processes, accumulate in (("alone", 1, 1), ("two", 2, 1), ("four", 2, 2)):
            monkeypatch.setenv("WORLD_SIZE", str(processes))
            path = write_fine_tune_config(
                tmp_path / "set", TINY, work_dir=tmp_path / name, launcher="pytorch", accumulate=accumulate
            )
            config, texts[name] = prepare_config(path), path.read_text()
            steps = config.train_cfg.max_epochs * (200 // (2 * processes * accumulate))
            assert steps >= 5000
            assert config.param_scheduler[0]["end"] == 100 * accumulate  # counted in batches
        assert "8 pictures a step: 2 process(es), 2 batch(es) of 2" in texts["four"]
        assert "pictures a step" not in texts["alone"]

    @given(images=st.integers(1, 10**6), batch_size=st.integers(1, 64))
    def test_epochs_make_up_for_few_pictures(self, images, batch_size):
        preset = choose_preset(None, images)
        assert preset.name == ("small" if images <= 2000 else "recipe")
        epochs = preset.epochs(images, batch_size)
        assert 50 <= epochs <= 300
        assert epochs in (50, 300) or epochs * max(images // batch_size, 1) >= preset.least_steps

    def test_the_model_is_the_one_that_the_weights_are_of(self, sets, tmp_path):
        path = write_fine_tune_config(sets / "coco", checkpoint="builtin", work_dir=tmp_path / "run")
        assert f"configs/{BUILTIN}.py" in path.read_text()
        assert "dropout" not in path.read_text()  # as it was trained
        alone = write_fine_tune_config(sets / "coco", work_dir=tmp_path / "alone")
        assert "configs/deformable_detr_r50_two_stage.py" in alone.read_text()

    def test_a_checkpoint_of_our_own_brings_its_network_along(self, trained, sets, tmp_path):
        """No shipped config is of it; its recipe is, and the size at which it was tested."""
        run = ["--epochs", "1", "--batch-size", "4", "--work-dir", str(tmp_path)]
        checkpoint = str(trained[0] / "epoch_2.pth")
        assert main(["train", "--data", str(sets / "coco"), "--checkpoint", checkpoint, *run]) == 0
        config = prepare_config(tmp_path / "config.py")
        assert config.model.network.transformer.embed_dims == 32
        assert config.model.network.num_classes == 5
        assert config.test_dataloader.dataset.transforms[0]["sizes"] == [128]
        assert "re-initialised" not in next(tmp_path.glob("*/*.log")).read_text()
        again = ["--checkpoint", str(tmp_path / "last.pth"), "--work-dir", str(tmp_path / "again")]
        assert main(["train", "--data", str(sets / "voc"), *run[:4], *again]) == 0

    def test_a_descendant_of_a_shipped_model_inherits_from_its_config(self, sets, tmp_path):
        """What a run changes, as the number of classes and queries, makes no other model of it."""
        recipe = read_config("deformable_detr_r18_shapes").to_dict()
        recipe["model"]["network"] |= {"num_classes": 2, "num_queries": 60}
        base = _base_of_recipe(
            {"network": recipe["model"]["network"], "transforms": [
                {"type": "ResizeShortestSide", "sizes": [96], "max_size": 160}
            ]}, "own.pth"
        )  # fmt: skip
        assert (base.name, base.network, base.image_size) == ("deformable_detr_r18_shapes", None, 96)

    @pytest.mark.parametrize("name", ["a=1); import os; dict(b", "{{ $HOME }}"])
    def test_a_strangers_recipe_writes_no_code_into_a_config(self, name):
        network = read_config("detr_r50").model.network.to_dict()
        for hostile in ({name: 1}, {"a": name}):
            if set(hostile) == {"a"} and "{{" not in name:
                continue  # text in quotes
            with pytest.raises(InputError, match=r"own\.pth: its recipe is no plain data"):
                _base_of_recipe({"network": {**network, **hostile}, "transforms": []}, "own.pth")

    def test_weights_of_no_shipped_config_need_one(self, sets, tmp_path, small_model):
        with pytest.raises(InputError, match=r"no shipped config is of these weights; give --model"):
            write_fine_tune_config(sets / "coco", checkpoint=small_model[1], work_dir=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_preset_that_is_none(self, sets, tmp_path):
        with pytest.raises(InputError, match="--preset tiny: it must be one of small, recipe"):
            write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path, preset="tiny")


class TestBeforeTraining:
    """The short form of the check at the start of every run."""

    def _train(self, folder, run, *options):
        return main(["train", str(TINY), "--work-dir", str(run), "--cfg-options", f"data_root={folder}",
                     "train_cfg.max_epochs=1", *options])  # fmt: skip

    def test_errors_stop_the_run_with_one_message_unless_told_otherwise(self, shapes, tmp_path, capsys):
        folder = tmp_path / "set"
        shutil.copytree(shapes, folder)
        data = json.loads((folder / "train.json").read_text())
        for annotation in data["annotations"]:
            annotation["bbox"] = [v / 64 for v in annotation["bbox"]]
        (folder / "train.json").write_text(json.dumps(data))
        picture = folder / "train" / data["images"][2]["file_name"]
        picture.write_bytes(picture.read_bytes()[:-500])
        assert self._train(folder, tmp_path / "run") == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ")
        assert "boxes in parts of the picture instead of pixels" in printed
        assert str(picture) in printed
        assert "data_check=False" in printed
        shutil.copy(shapes / "train" / picture.name, picture)
        assert self._train(folder, tmp_path / "run", "data_check=False") == 0

    def test_pictures_that_are_to_be_skipped_are_a_warning(self, shapes, tmp_path):
        folder = tmp_path / "set"
        shutil.copytree(shapes, folder)
        picture = folder / "train" / "000003.png"
        picture.write_bytes(picture.read_bytes()[:-500])
        assert self._train(folder, tmp_path / "run", "train_dataloader.dataset.unreadable=skip") == 0
        log = next((tmp_path / "run").glob("*/*.log")).read_text()
        assert "train: pictures that were cut off: 1, as" in log

    def test_warnings_are_logged(self, shapes, tmp_path):
        folder = tmp_path / "set"
        shutil.copytree(shapes, folder)
        data = json.loads((folder / "train.json").read_text())
        data["annotations"][0]["bbox"][3] = 0
        (folder / "train.json").write_text(json.dumps(data))
        assert self._train(folder, tmp_path / "run") == 0
        assert "train: boxes without area: 1, as" in next((tmp_path / "run").glob("*/*.log")).read_text()


def test_the_builtin_checkpoint_is_one_to_start_from(sets, tmp_path):
    path = write_fine_tune_config(sets / "yolo", BUILTIN, work_dir=tmp_path, checkpoint="builtin")
    assert checkpoint_path(prepare_config(path).load_from) == BUILTIN_FILE


def test_splits_with_pictures_of_the_same_names_in_folders_of_their_own(tmp_path):
    write_shapes(tmp_path / "set", num_train=4, num_val=2, image_size=64)
    config = prepare_config(write_fine_tune_config(tmp_path / "set", str(TINY), work_dir=tmp_path / "run"))
    for split in ("train", "val"):
        dataset = config[f"{split}_dataloader"].dataset
        assert Path(dataset.data_root, dataset.images) == tmp_path / "set" / split


def test_resuming_takes_the_config_that_is_there(sets, tmp_path, capsys):
    options = ["--data", str(sets / "yolo"), "--model", str(TINY), "--work-dir", str(tmp_path)]
    assert main(["train", *options, "--epochs", "1", "--batch-size", "4", "--image-size", "48", "--ema"]) == 0
    capsys.readouterr()
    assert main(["train", *options, "--resume"]) == 0
    assert "going on with" in capsys.readouterr().out


def test_a_checkpoint_that_is_none_leaves_no_config_behind(sets, tmp_path):
    (tmp_path / "w.pth").write_text("nothing")
    with pytest.raises(InputError, match=r"w\.pth"):
        write_fine_tune_config(
            sets / "yolo", str(TINY), work_dir=tmp_path / "run", checkpoint=tmp_path / "w.pth"
        )
    assert not (tmp_path / "run").exists()
