"""Files from strangers: nothing that is written in them is run."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from detr_kit import Detector
from detr_kit.checkpoints import read_checkpoint, write_checkpoint
from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.data.formats import find_data
from detr_kit.data.formats.split import split_name
from detr_kit.defaults import BUILTIN
from detr_kit.errors import InputError
from detr_kit.export.metadata import ExportMetadata
from detr_kit.fine_tune.run import write_fine_tune_config
from detr_kit.registry import refuse_imports

from .places import TINY


@pytest.mark.parametrize("kind", ["os.system", ["os"], "detr_kit.MODELS"])
def test_types_that_would_be_imported_are_refused(kind):
    with pytest.raises(InputError, match="none of detr-kit's"):
        refuse_imports({"a": [{"type": "Fine", "inner": {"type": kind}}]})


@pytest.mark.parametrize("part", ["transforms", "postprocessor"])
def test_an_exported_file_runs_nothing(part):
    content = {"version": 1, "transforms": [], "postprocessor": {}}
    content[part] = [{"type": "os.system", "command": "true"}]
    with pytest.raises(InputError, match=r"os\.system"):
        ExportMetadata.from_json(json.dumps(content), "stranger.onnx")


def test_a_checkpoint_names_shipped_configs_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('was_run', 'w')\n")
    (tmp_path / BUILTIN).write_text("open('was_run', 'w')\n")
    state = read_checkpoint("builtin").state_dict
    write_checkpoint(tmp_path / "w.safetensors", state, {"config": "evil.py"})
    with pytest.raises(InputError, match=r"evil\.py"):
        Detector(checkpoint=tmp_path / "w.safetensors", device="cpu")
    Detector(checkpoint="builtin", device="cpu")
    assert not (tmp_path / "was_run").exists()


def test_resuming_runs_nothing_of_the_checkpoint(trained, shapes, tmp_path):
    checkpoint = torch.load(trained[0] / "epoch_1.pth", weights_only=True)
    checkpoint["meta"]["config"] = f"open({str(tmp_path / 'was_run')!r}, 'w')"
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    resume = ["--work-dir", str(tmp_path / "run"), "--resume", str(tmp_path / "epoch_1.pth")]
    code = main(["train", str(TINY), *resume, "--cfg-options", f"data_root={shapes}"])
    assert code == 0
    assert not (tmp_path / "was_run").exists()


def test_a_file_name_is_no_code_in_the_written_config(sets, tmp_path, capsys):
    shutil.copytree(sets / "voc", tmp_path / "voc")
    page = sorted((tmp_path / "voc" / "Annotations").glob("*.xml"))[0]
    text = page.read_text()
    corner = text[text.index("<xmin>") : text.index("</xmin>")]
    name = "0\nprint('INJECTED')\n#.xml"
    (page.parent / name).write_text(text.replace(corner, "<xmin>0", 1))
    picture = next((tmp_path / "voc" / "JPEGImages").glob(f"{page.stem}.*"))
    shutil.copy(picture, picture.with_name(Path(name).stem + picture.suffix))
    shutil.rmtree(tmp_path / "voc" / "ImageSets", ignore_errors=True)
    path = write_fine_tune_config(tmp_path / "voc", str(TINY), work_dir=tmp_path / "run")
    capsys.readouterr()
    read_config(path)
    assert "INJECTED" in path.read_text()
    assert "INJECTED" not in capsys.readouterr().out


def test_a_refused_set_leaves_the_former_runs_data_alone(sets, tmp_path):
    write_fine_tune_config(sets / "voc", str(TINY), work_dir=tmp_path)
    before = (tmp_path / "data" / "train.json").read_text()
    with (tmp_path / "config.py").open("a") as config:
        config.write("# my own line\n")
    with pytest.raises(InputError, match="another config"):
        write_fine_tune_config(sets / "yolo", str(TINY), work_dir=tmp_path)
    assert (tmp_path / "data" / "train.json").read_text() == before


def test_two_folders_of_one_split_are_refused(sets, tmp_path):
    pages = sorted((sets / "voc").rglob("*.xml"))
    for folder, page in zip(("train_a", "train_b"), pages, strict=False):
        (tmp_path / folder).mkdir()
        shutil.copy(page, tmp_path / folder)
    with pytest.raises(InputError, match="second folder of the train split"):
        find_data(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("latest", None),
        ("interval", None),
        ("constraints", None),
        ("instances_val2017", "val"),
        ("valid", "val"),
    ],
)
def test_a_split_is_a_word(name, split):
    assert split_name(name) == split


@pytest.mark.parametrize("line", ["nan .5 .5 .1 .1", "inf .5 .5 .1 .1", "99999999999 .5 .5 .1 .1"])
def test_a_class_that_is_none_is_a_finding(sets, tmp_path, line):
    shutil.copytree(sets / "yolo", tmp_path / "yolo")
    label = next((tmp_path / "yolo").rglob("labels/**/*.txt"))
    label.write_text(line + "\n")
    assert main(["check", str(tmp_path / "yolo"), "--strict"]) == 1


def test_a_report_shows_what_a_file_holds_and_runs_none_of_it(sets, tmp_path):
    data = json.loads((sets / "coco" / "train.json").read_text())
    for category in data["categories"]:
        category["id"] = f"<script>{category['id']}</script>"
    (tmp_path / "set.json").write_text(json.dumps(data))
    main(["check", str(tmp_path / "set.json"), "--no-images", "--html", str(tmp_path / "report.html")])
    assert "<script>1" not in (tmp_path / "report.html").read_text()
