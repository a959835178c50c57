"""Where runs on data sets write, and how they go on: nothing of another run or a person is written over."""

import json
import os
from pathlib import Path

import pytest

from detr_kit.cli import main
from detr_kit.engine import prepare_config
from detr_kit.errors import InputError
from detr_kit.fine_tune.run import write_fine_tune_config
from detr_kit.fine_tune.run_folder import set_name
from detr_kit.fine_tune.written_config import WrittenConfig

from ..data_formats import write_coco, write_voc
from ..places import TINY


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory, where work_dirs goes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _begin(path):
    """As if the run of a config had saved a checkpoint."""
    (path.parent / "epoch_1.pth").touch()
    return path


@pytest.mark.parametrize(("path", "name"), [
    ("raccoon/Annotations", "raccoon"), ("raccoon/data/annots", "raccoon"), ("raccoon/train", "raccoon"),
    ("raccoon/images", "raccoon"), ("raccoon/xml", "raccoon"), ("raccoon", "raccoon"),
])  # fmt: skip
def test_a_run_is_named_after_the_sets_own_folder(tmp_path, path, name):
    (tmp_path / path).mkdir(parents=True)
    assert set_name(tmp_path / path) == name
    (tmp_path / path / "data.yaml").touch()
    assert set_name(tmp_path / path / "data.yaml") == name


class TestFolders:
    def test_two_sets_of_one_name_do_not_collide(self, sets, here):
        for owner in ("a", "b"):
            data = json.loads((sets / "coco" / "train.json").read_text())
            write_voc(here / owner / "cells", {"train": data, "val": data}, sets / "coco" / "images")
        first = write_fine_tune_config(here / "a" / "cells" / "Annotations", TINY)
        second = write_fine_tune_config(here / "b" / "cells", TINY)
        names = [path.parent.relative_to(here).as_posix() for path in (first, second)]
        assert names == ["work_dirs/tiny_cells", "work_dirs/tiny_cells_2"]
        assert write_fine_tune_config(here / "b" / "cells", TINY) == second

    def test_other_settings_before_a_checkpoint_take_the_place_and_then_the_next_number(
        self, sets, here, capsys
    ):
        first = write_fine_tune_config(sets / "coco", TINY, epochs=1)
        assert write_fine_tune_config(sets / "coco", TINY, epochs=2) == first
        assert prepare_config(first).train_cfg.max_epochs == 2
        _begin(first)
        second = write_fine_tune_config(sets / "coco", TINY, epochs=3)
        assert second == first.parent.with_name("tiny_coco_2") / "config.py"
        assert "holds another run or another set: this run is in" in capsys.readouterr().out
        assert write_fine_tune_config(sets / "coco", TINY, epochs=2) == first
        assert write_fine_tune_config(sets / "coco", TINY, epochs=3) == second

    def test_in_a_folder_that_was_given_the_earlier_config_is_kept_beside(self, sets, tmp_path):
        path = _begin(write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path, epochs=1))
        former = path.read_text()
        assert write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path, epochs=2) == path
        (kept,) = tmp_path.glob("config_*.py")
        assert kept.read_text() == former

    def test_an_edited_config_stays_and_nothing_else_is_taken_for_edited(self, sets, here):
        path = write_fine_tune_config(sets / "coco", TINY, name="mine")
        assert path == here / "work_dirs" / "mine" / "config.py"
        assert WrittenConfig.read(path).is_untouched
        path.write_text(path.read_text().replace("max_epochs=300", "max_epochs=30"))
        with pytest.raises(InputError, match=r"it may have been edited.*choose another --name or --work-dir"):
            write_fine_tune_config(sets / "coco", TINY, name="mine")
        assert "max_epochs=30," in path.read_text()

    @pytest.mark.parametrize("name", ["a/b", "..", ""])
    def test_a_name_is_no_path(self, sets, here, name):
        with pytest.raises(InputError, match="a plain name"):
            write_fine_tune_config(sets / "coco", TINY, name=name)
        assert not list(here.iterdir())

    def test_what_is_moved_together_stays_together(self, sets, here):
        """Data and runs below the current directory: the config says where they are as seen from itself."""
        data = json.loads((sets / "coco" / "train.json").read_text())
        (here / "project").mkdir()
        os.chdir(here / "project")
        write_voc(Path("cells"), {"train": data, "val": data}, sets / "coco" / "images")
        path = write_fine_tune_config("cells", TINY)
        assert str(here) not in path.read_text().partition("work_dir =")[2].partition("# detr-kit")[0]
        os.chdir(here)
        (here / "project").rename(here / "moved")
        config = prepare_config("moved/work_dirs/tiny_cells/config.py")
        dataset = config.train_dataloader.dataset
        assert Path(config.work_dir) == here / "moved/work_dirs/tiny_cells"
        assert Path(dataset.annotations).is_file()
        assert (Path(dataset.data_root) / dataset.images).resolve() == here / "moved/cells/JPEGImages"

    @pytest.mark.parametrize("folder", ["a {{ fileDirname }}", 'a"b', "a\\b"])
    def test_folders_whose_names_mean_something_to_python_or_mmengine(self, sets, tmp_path, folder):
        path = write_fine_tune_config(sets / "voc", TINY, work_dir=tmp_path / folder)
        if "{" not in folder:  # mmengine replaces its words wherever they stand
            assert prepare_config(path).work_dir == str(tmp_path / folder)


class TestNothingIsLeftBehind:
    @pytest.mark.parametrize("arguments", [
        ["--accumulate", "0"], ["--cfg-options", "modle.network.num_queries=3"], ["--batch-size", "-1"],
        ["--cfg-options", "train_dataloader.batchsize=3"], ["--preset", "recipe", "--lr", "nan"],
    ])  # fmt: skip
    def test_by_a_refused_command(self, sets, here, arguments, capsys):
        assert main(["train", "--data", str(sets / "voc"), "--model", str(TINY), *arguments]) == 2
        assert capsys.readouterr().err.startswith("error: ")
        assert not list(here.iterdir())


class TestGoingOn:
    def _run(self, sets, tmp_path, *arguments, data="voc"):
        options = [
            "--data",
            str(sets / data),
            "--model",
            str(TINY),
            "--batch-size",
            "4",
            "--image-size",
            "48",
        ]
        return main(["train", *options, "--work-dir", str(tmp_path), *arguments])

    def test_more_epochs_are_trained_and_the_schedule_is_said(self, sets, tmp_path, capsys):
        assert self._run(sets, tmp_path, "--epochs", "1") == 0
        assert self._run(sets, tmp_path, "--epochs", "3", "--resume") == 0
        printed = capsys.readouterr().out
        assert "with 3 epochs instead of 1: the learning rate stays what it is" in printed
        assert (tmp_path / "epoch_3.pth").is_file()
        written = WrittenConfig.read(tmp_path / "config.py")
        assert written.is_untouched  # by people
        assert prepare_config(tmp_path / "config.py").train_cfg.max_epochs == 3
        lines = (tmp_path / "results.csv").read_text().splitlines()
        assert [line.partition(",")[0] for line in lines] == ["epoch", "1", "2", "3"]
        assert self._run(sets, tmp_path, "--epochs", "2", "--resume") == 2
        assert "--epochs 2 beside --resume" in capsys.readouterr().err

    def test_a_schedule_with_steps_keeps_them(self, sets, tmp_path, capsys):
        options = dict(work_dir=tmp_path, batch_size=4, image_size=48)
        _begin(write_fine_tune_config(sets / "coco", str(TINY), epochs=10, **options))
        path, epochs = tmp_path / "config.py", ["--epochs", "12"]
        (tmp_path / "epoch_1.pth").write_text("no checkpoint")
        assert self._run(sets, tmp_path, *epochs, "--resume", data="coco") == 2  # for that checkpoint alone
        assert (
            "12 epochs instead of 10: the learning rate falls × 0.1 after epoch 8" in capsys.readouterr().out
        )
        assert prepare_config(path).param_scheduler[1]["milestones"] == [8]

    @pytest.mark.parametrize(("option", "began"), [
        (["--lr", "0.1"], "began without it"), (["--batch-size", "2"], "began with --batch-size 4"),
    ])  # fmt: skip
    def test_what_the_run_did_not_begin_with_is_refused_by_name(self, sets, tmp_path, capsys, option, began):
        options = dict(work_dir=tmp_path, batch_size=4, image_size=48)
        _begin(write_fine_tune_config(sets / "voc", str(TINY), **options))
        assert self._run(sets, tmp_path, *option, "--resume") == 2
        message = capsys.readouterr().err
        assert f"{' '.join(option)} beside --resume" in message
        assert began in message

    def test_a_data_set_that_was_changed_is_refused_by_name(self, sets, tmp_path, capsys):
        data = json.loads((sets / "coco" / "train.json").read_text())
        write_voc(tmp_path / "cells", {"train": data, "val": data}, sets / "coco" / "images")
        _begin(write_fine_tune_config(tmp_path / "cells", TINY, work_dir=tmp_path / "run"))
        for file in (tmp_path / "cells" / "Annotations").iterdir():
            file.write_text(file.read_text().replace("circle", "disc"))
        command = ["train", "--data", str(tmp_path / "cells"), "--model", str(TINY), "--resume"]
        assert main([*command, "--work-dir", str(tmp_path / "run")]) == 2
        message = capsys.readouterr().err
        assert "the data set is not what it was" in message
        assert "'circle'" in message
        assert "'disc'" in message

    def test_the_newest_run_on_the_set_goes_on(self, sets, here, capsys):
        _begin(write_fine_tune_config(sets / "coco", TINY, epochs=1))
        second = _begin(write_fine_tune_config(sets / "coco", TINY, epochs=2))
        (second.parent / "epoch_1.pth").write_text("no checkpoint")
        assert main(["train", "--data", str(sets / "coco"), "--model", str(TINY), "--resume"]) == 2
        assert f"going on with {second}" in capsys.readouterr().out

    def test_a_run_on_another_set_is_not_gone_on_with(self, sets, tmp_path, capsys):
        _begin(write_fine_tune_config(sets / "coco", TINY, work_dir=tmp_path))
        write_coco(tmp_path / "other", {"all": json.loads((sets / "coco" / "train.json").read_text())},
                   sets / "coco" / "images")  # fmt: skip
        command = ["train", "--data", str(tmp_path / "other"), "--model", str(TINY), "--resume"]
        assert main([*command, "--work-dir", str(tmp_path)]) == 2
        assert "choose its --work-dir" in capsys.readouterr().err
