"""What stops a run before its first step, and what it lives with."""

import json

import numpy as np
import pytest
from PIL import Image

from detr_kit.check import check_data
from detr_kit.cli import main
from detr_kit.data.formats import find_data
from detr_kit.errors import InputError
from detr_kit.fine_tune.data import class_names_of, parts_of

SIDE = 48


def write_split(folder, name, classes=("a", "b"), count=40, start=0, bad=0):
    """A JSON file with one box a picture, `bad` of them without area, and the pictures."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"{name}_{index}.png" for index in range(count)]
    for index, file in enumerate(names):
        colour = tuple(int(c) for c in np.random.default_rng(start + index).integers(0, 255, 3))
        Image.new("RGB", (SIDE, SIDE), colour).save(folder / "images" / file)
    data = {
        "images": [{"id": i, "file_name": f, "width": SIDE, "height": SIDE} for i, f in enumerate(names, 1)],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1 + i % len(classes),
                "bbox": [4, 6, 0 if i <= bad else 10, 8],
            }
            for i in range(1, count + 1)
        ],
        "categories": [{"id": i, "name": c} for i, c in enumerate(classes, 1)],
    }
    (folder / f"{name}.json").write_text(json.dumps(data))


@pytest.fixture
def folder(tmp_path):
    write_split(tmp_path / "set", "train")
    write_split(tmp_path / "set", "val", count=6, start=1000)
    return tmp_path / "set"


def edit(file, change):
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def train(folder, *more):
    run = f"--checkpoint builtin --epochs 1 --image-size 96 --work-dir {folder.parent / 'run'}"
    return main(["train", "--data", str(folder), *run.split(), *more])


class TestPictures:
    def test_each_picture_is_read_before_training_and_the_way_on_is_named(self, folder, capsys):
        file = folder / "images" / "train_37.png"  # none of a spread sample of 32
        file.write_bytes(file.read_bytes()[:60])
        assert train(folder) == 2
        message = capsys.readouterr().err
        assert "train_37.png" in message
        assert "--skip-unreadable trains without" in message

    def test_of_a_split_with_more_than_the_limit_a_spread_sample_is_read(self, folder):
        splits = list(find_data(folder).splits.values())
        report = check_data(splits, read_images=20, beyond=5)
        assert [split.num_read for split in report.splits] == [5, 6]
        report = check_data(splits, read_images=40, beyond=5)
        assert [split.num_read for split in report.splits] == [40, 6]

    @pytest.mark.parametrize(("boxed", "verdict"), [(True, "error"), (False, "warning")])
    def test_equal_pictures_in_two_splits_are_an_error_only_where_one_has_a_box(self, folder, boxed, verdict):
        images = folder / "images"
        (images / "val_0.png").write_bytes((images / "train_0.png").read_bytes())
        if not boxed:
            for name in ("train", "val"):
                edit(folder / f"{name}.json", lambda data: data["annotations"].pop(0))
        report = check_data(list(find_data(folder).splits.values()))
        (found,) = (found for _, found in report.findings() if found.name == "overlap")
        assert found.verdict == verdict
        assert "val_0.png" in found.examples[0].file


class TestSlips:
    """One annotation of 40 that cannot be used."""

    @pytest.fixture
    def slip(self, tmp_path):
        write_split(tmp_path / "set", "train", bad=1)
        write_split(tmp_path / "set", "val", count=6, start=1000)
        return tmp_path / "set"

    def test_it_is_a_warning_and_with_strict_an_error(self, slip, capsys):
        assert main(["check", str(slip)]) == 0
        assert "box-zero-area" in capsys.readouterr().out
        assert main(["check", str(slip), "--strict"]) == 1

    def test_strict_training_stops_before_it_has_written_anything(self, slip, capsys):
        assert train(slip, "--strict") == 2
        assert "annotation id 1: bbox=[4, 6, 0, 8]: no area" in capsys.readouterr().err
        assert not (slip.parent / "run").exists()

    def test_many_are_an_error_at_once(self, slip):
        write_split(slip, "train", bad=2)
        assert main(["check", str(slip)]) == 1
        with pytest.raises(InputError, match=r"annotation id 1: .*2 of 40 annotations cannot be used"):
            parts_of(find_data(slip))


class TestClasses:
    @pytest.mark.parametrize("classes", [("b", "a"), ("a",)], ids=["another order", "one is lacking"])
    def test_validation_may_have_them_otherwise(self, folder, classes):
        write_split(folder, "val", classes, count=6, start=1000)
        source = find_data(folder)
        assert class_names_of(parts_of(source)[0], source) == ["a", "b"]
        report = check_data(list(source.splits.values()))
        assert "categories-matched" in {found.name for _, found in report.findings()}
        assert report.exit_code == 0

    def test_an_object_of_a_class_that_is_not_trained_is_an_error_by_its_name(self, folder):
        write_split(folder, "val", ("a", "zebra"), count=6, start=1000)
        source = find_data(folder)
        with pytest.raises(
            InputError, match="the val split: its class 'zebra' is not among those of the train"
        ):
            class_names_of(parts_of(source)[0], source)
        assert check_data(list(source.splits.values())).exit_code == 1


class TestNothingToLearn:
    @pytest.mark.parametrize("what", ["crowd", "no label"])
    def test_a_training_split_without_an_object_is_an_error_in_check_and_training(self, folder, capsys, what):
        def change(data):
            if what == "crowd":
                data["annotations"] = [{**a, "iscrowd": 1} for a in data["annotations"]]
            else:
                data["annotations"] = []

        edit(folder / "train.json", change)
        assert main(["check", str(folder)]) == 1
        assert "nothing-to-learn" in capsys.readouterr().out
        assert train(folder) == 2
        assert "no object to learn from" in capsys.readouterr().err
