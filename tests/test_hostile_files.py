"""Files from strangers: nothing that is written in them is run."""

import functools
import importlib
import json
import operator
import os
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from detr_kit import Detector
from detr_kit.checkpoints import read_checkpoint, write_checkpoint
from detr_kit.checkpoints.inert_pickle import Placeholder, PlainDict, read_inert
from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.data.formats import find_data
from detr_kit.data.formats.split import split_name
from detr_kit.engine.fine_tune import write_fine_tune_config
from detr_kit.errors import InputError
from detr_kit.export.metadata import ExportMetadata
from detr_kit.registry import refuse_imports

from .conftest import TINY


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
    (tmp_path / "deformable_detr_r18_shapes").write_text("open('was_run', 'w')\n")
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
    shutil.rmtree(tmp_path / "voc" / "ImageSets", ignore_errors=True)
    path = write_fine_tune_config(tmp_path / "voc", str(TINY), work_dir=tmp_path / "run")
    capsys.readouterr()
    read_config(path)
    assert "INJECTED" in path.read_text()
    assert "INJECTED" not in capsys.readouterr().out


def test_a_refused_set_leaves_the_former_runs_data_alone(sets, tmp_path):
    write_fine_tune_config(sets / "voc", str(TINY), work_dir=tmp_path)
    before = (tmp_path / "data" / "train.json").read_text()
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
    assert main(["check", str(tmp_path / "yolo")]) == 1


def test_a_report_shows_what_a_file_holds_and_runs_none_of_it(sets, tmp_path):
    data = json.loads((sets / "coco" / "train.json").read_text())
    for category in data["categories"]:
        category["id"] = f"<script>{category['id']}</script>"
    (tmp_path / "set.json").write_text(json.dumps(data))
    main(["check", str(tmp_path / "set.json"), "--no-images", "--html", str(tmp_path / "report.html")])
    assert "<script>1" not in (tmp_path / "report.html").read_text()


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _attacks(marker: Path) -> dict[str, object]:
    """What a pickle can be made to do, each with the marker as its trace."""
    python = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {marker}"),
        "builtins.eval": Call(eval, python),
        "builtins.exec": Call(exec, python),
        "builtins.open": Call(open, str(marker), "w"),
        "getattr": Call(functools.partial(getattr, marker), "touch"),
        "functools.partial": Call(functools.partial(Path.touch, marker)),
        "operator": Call(operator.methodcaller("touch"), marker),
        "subprocess": Call(subprocess.check_call, ["touch", str(marker)]),
        "import": Call(importlib.import_module, "antigravity"),
        "torch.load": Call(torch.load, str(marker.with_name("inner.pth")), None, None),
        "torch.hub": Call(torch.hub._import_module, "inner", str(marker.with_name("inner.py"))),
        "map": Call(list, Call(map, eval, [python])),
        "state": Call(Call, Path.touch, marker),
    }


def _modules() -> set[str]:
    """What is imported; zipfile looks up encodings of names."""
    return {name for name in sys.modules if not name.startswith("encodings.")}


@pytest.mark.parametrize("attack", _attacks(Path("marker")))
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
def test_tensors_are_read_beside_an_attack_that_is_not_run(tmp_path, attack, legacy):
    marker = tmp_path / "was_run"
    (tmp_path / "inner.py").write_text(f"open({str(marker)!r}, 'w')\n")
    torch.save(Call(Path.touch, marker), tmp_path / "inner.pth")
    content = {"attack": _attacks(marker)[attack], "model": {"a": torch.ones(3)}}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=not legacy)
    before = _modules()
    assert read_checkpoint(tmp_path / "evil.pth").state_dict["a"].tolist() == [1, 1, 1]
    assert not marker.exists()
    assert _modules() == before


# Pickles that no `__reduce__` makes, in the language itself; each ends with {"a": 1} or fails.
_BY_HAND = {
    "a name with dots": b"\x80\x04\x8c\x03sys\x8c\x0emodules.values\x93)R0}.",
    "a dotted name of a module": b"\x80\x04\x8c\x07pathlib\x8c\x0aPath.touch\x93(X\x04\x00\x00\x00MARKtR0}.",
    "attributes of a stand-in": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__K\x01sb0}.",
    "attributes of a class": b"ccollections\nOrderedDict\nN}X\x06\x00\x00\x00updateK\x01s\x86b0}.",
    "attributes of a placeholder": b"cos\nsystem\n}X\x08\x00\x00\x00__call__K\x01sb0}.",
    "attributes of a type": b"ctorch\nfloat32\n}X\x01\x00\x00\x00aK\x01sb0}.",
    "an instance": b"(S'touch MARK'\nios\nsystem\n0}.",
    "an object": b"(cos\nsystem\nS'touch MARK'\no0}.",
    "a reference": b"S'MARK'\nQ0}.",
    "a registered extension": b"\x82\x01)R0}.",
    "a tensor of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x01K\x01K\x01tR0}.",
    "a subclass of a call": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(S'touch MARK'\nttR0}.",
}


@pytest.mark.parametrize("name", _BY_HAND)
def test_the_language_of_pickles_leads_to_nothing(tmp_path, name):
    marker = tmp_path / "m"
    line = str(marker).encode()
    pickled = _BY_HAND[name].replace(b"X\x04\x00\x00\x00MARK", b"X" + len(line).to_bytes(4, "little") + line)
    pickled = pickled.replace(b"MARK", line)
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", pickled)
        archive.writestr("evil/version", "3\n")
    functions = [torch._utils._rebuild_tensor_v2, OrderedDict.update, Placeholder.__call__, PlainDict.update]
    codes = [getattr(function, "__code__", function) for function in functions]
    before = _modules()
    with pytest.raises(InputError, match=r"evil\.pth"):
        read_checkpoint(tmp_path / "evil.pth")  # there are no tensors in it
    with suppress(Exception):
        read_inert(tmp_path / "evil.pth")
    assert not marker.exists()
    assert [getattr(function, "__code__", function) for function in functions] == codes
    assert _modules() == before
    assert not hasattr(torch.float32, "a")
