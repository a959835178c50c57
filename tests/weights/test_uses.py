"""Published weights in the commands and in the Detector."""

import json
from pathlib import Path

import pytest
import torch

from detr_kit import Detector
from detr_kit.checkpoints import checkpoint_path, read_checkpoint
from detr_kit.cli import main
from detr_kit.data import write_shapes
from detr_kit.engine.prepare import prepare_config
from detr_kit.errors import InputError
from detr_kit.fine_tune import write_fine_tune_config
from detr_kit.serving import open_detector
from detr_kit.weights import NotHere, of_model

from .conftest import CLASSES, MODEL, NOWHERE, left_in, sha256


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_shapes(folder, num_train=1, num_val=1)
    return folder / "val" / "000001.png"


@pytest.fixture(scope="module")
def expected(picture, shapes_detector):
    """What the shapes detector finds in the picture."""
    found = Detector(checkpoint=shapes_detector, device="cpu")(picture, 0.3)
    assert len(found) > 0
    return found


@pytest.fixture
def published(server, publish, checkpoints):
    """The shapes detector as published weights of its config, by the config's name."""
    data = checkpoints["shapes.safetensors"]
    server.files["/shapes.safetensors"] = data
    publish({"name": MODEL, "url": f"{server.address}/shapes.safetensors", "sha256": sha256(data)})
    return MODEL


@pytest.fixture
def out_of_reach(cache, publish):
    """A shipped model with published weights, and no network."""
    publish({"name": "detr_r50", "config": "detr_r50", "url": f"{NOWHERE}/net.pth", "sha256": "01234567"})


def same(found, expected):
    assert found.class_names == expected.class_names
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-2, rtol=0)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)


class TestDetector:
    @pytest.mark.parametrize("name", ["official.pth", "mmdet.pth", "shapes.safetensors"])
    def test_of_an_address_in_every_projects_format(self, server, checkpoints, picture, expected, name):
        server.files[f"/{name}"] = checkpoints[name]
        names = CLASSES if name == "official.pth" else None  # which has no place for them
        detector = Detector(MODEL, f"{server.address}/{name}", "cpu", names)
        same(detector(picture, 0.3), expected)

    def test_of_a_model_on_the_hub(self, hub, transformers_files, picture, expected):
        hub.models["owner/shapes"] = transformers_files
        same(Detector(MODEL, "owner/shapes", "cpu")(picture, 0.3), expected)

    def test_of_a_models_name_alone(self, published, picture, expected):
        detector = Detector(published, device="cpu")
        same(detector(picture, 0.3), expected)
        assert f"of {published}, 5 classes" in repr(detector)

    def test_of_nothing_is_the_default_one(self, published, picture, expected, monkeypatch):
        monkeypatch.setattr(of_model, "MODEL", MODEL)
        same(Detector(device="cpu")(picture, 0.3), expected)

    def test_of_nothing_and_without_a_network_names_the_one_that_needs_none(self, out_of_reach, monkeypatch):
        monkeypatch.setattr(of_model, "MODEL", "detr_r50")
        with pytest.raises(NotHere, match=r"net\.pth, or give its path .*: --checkpoint builtin"):
            Detector()
        with pytest.raises(NotHere) as caught:
            Detector("detr_r50")
        assert "builtin" not in str(caught.value)  # which is no detr_r50

    def test_of_a_model_that_nobody_has_published_needs_a_checkpoint(self, tmp_path):
        (tmp_path / "own.py").write_text('_base_ = "detr_r50"')
        for model in (tmp_path / "own.py", "deformable_detr_r50_bccd"):
            with pytest.raises(InputError, match=r"no weights are published for .*; give a checkpoint"):
                Detector(model)

    def test_the_config_is_the_rows_where_weights_do_not_tell(self, server, publish, checkpoints):
        """DC5 leaves no trace in weights."""
        server.files["/net.pth"] = checkpoints["official.pth"]
        publish({"name": "net", "url": f"{server.address}/net.pth", "config": "detr_r50_dc5"})
        for name in ("net", f"{server.address}/net.pth"):
            assert read_checkpoint(name).metadata["config"] == "detr_r50_dc5"


class TestNames:
    def test_a_misspelt_one_is_recognised(self):
        with pytest.raises(InputError, match="detr_r50_cd5: no such file; did you mean 'detr_r50_dc5'"):
            read_checkpoint("detr_r50_cd5")

    def test_a_file_of_that_name_comes_first_and_the_folder_of_a_run_does_not(
        self, published, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        Path(MODEL).mkdir()
        assert checkpoint_path(MODEL).name == "shapes.safetensors"
        Path(MODEL, "config.json").write_text("{}")
        assert checkpoint_path(MODEL) == Path(MODEL)

    def test_a_folder_that_could_be_an_id_is_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("runs/first").mkdir(parents=True)
        with pytest.raises(InputError, match=r"runs/first: a folder without config\.json"):
            read_checkpoint("runs/first")


class TestCommands:
    def test_predict_takes_the_models_own_and_says_which(
        self, published, picture, tmp_path, capsys, monkeypatch
    ):
        command = ["predict", str(picture), "--device", "cpu", "--json", "--out"]
        assert main([*command, str(tmp_path / "a"), "--model", MODEL]) == 0
        assert f"no --checkpoint: {MODEL}, published weights for 5 classes" in capsys.readouterr().err
        monkeypatch.setattr(of_model, "MODEL", MODEL)
        assert main([*command, str(tmp_path / "b")]) == 0
        texts = [(tmp_path / folder / f"{picture.name}.json").read_text() for folder in "ab"]
        assert texts[0] == texts[1]

    def test_without_a_network_one_line_is_printed(self, out_of_reach, picture, capsys, monkeypatch):
        monkeypatch.setattr(of_model, "MODEL", "detr_r50")
        assert main(["predict", str(picture)]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"error: detr_r50: the weights at {NOWHERE}/net.pth are not here")
        assert printed.err.count("\n") == 1
        assert "--checkpoint builtin" in printed.err

    @pytest.mark.parametrize("command", [
        ["predict", "{picture}"], ["explain", "{picture}"], ["test", MODEL, MODEL],
        ["convert", MODEL, "--to", "mmdet", "-o", "a.pth"], ["train", "--data", "{data}", "--model", MODEL],
        ["export", "--checkpoint", MODEL, "--format", "onnx", "-o", "a.onnx"],
    ])  # fmt: skip
    def test_offline_asks_nobody(self, server, published, picture, tmp_path, monkeypatch, capsys, command):
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # put back at the end
        monkeypatch.setattr(of_model, "MODEL", MODEL)
        monkeypatch.chdir(tmp_path)
        words = {"{picture}": str(picture), "{data}": str(picture.parents[1])}
        options = ["--cfg-options", f"data_root={picture.parents[1]}"] if command[0] == "test" else []
        assert main([*(words.get(word, word) for word in command), *options, "--offline"]) == 2
        assert "cannot be fetched (HF_HUB_OFFLINE is set)" in capsys.readouterr().err
        assert server.requests == []

    def test_convert_and_test_take_names(self, published, picture, tmp_path):
        assert main(["convert", MODEL, "--to", "mmdet", "-o", str(tmp_path / "mmdet.pth")]) == 0
        options = ["--work-dir", str(tmp_path / "run"), "--cfg-options", f"data_root={picture.parents[1]}"]
        assert main(["test", MODEL, MODEL, *options]) == 0
        assert read_checkpoint(tmp_path / "mmdet.pth").metadata["classes"] == CLASSES

    def test_a_server_takes_a_models_own_and_alone_the_built_in(self, published, server):
        assert open_detector(device="cpu").checkpoint == "builtin"
        assert server.requests == []
        assert open_detector(MODEL, device="cpu").checkpoint == MODEL

    def test_models_lists_all_and_says_what_is_here(self, published, publish, server, capsys, hub):
        rows = [
            {"name": MODEL, "url": f"{server.address}/shapes.safetensors"},
            {"name": "owner/net", "hub": "owner/net", "revision": "main", "bytes": 166_587_896},
            {"name": "panoptic", "url": f"{server.address}/p.pth", "needs": "masks", "size": "165 MiB"},
        ]
        publish(*rows)
        assert main(["models", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert [(row["name"], row["here"]) for row in listed] == [(row["name"], False) for row in rows]
        Detector(MODEL, device="cpu")
        hub.models["owner/net"] = {"config.json": b"{}", "model.safetensors": b"x"}
        checkpoint_path("owner/net")
        assert main(["models", "--json"]) == 0
        assert [row["here"] for row in json.loads(capsys.readouterr().out)] == [True, True, False]
        assert main(["models"]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [MODEL, "3.7", "M", "78.3", "~14", "MiB", "yes"] in lines
        assert ["owner/net", "3.7", "M", "78.3", "159", "MiB", "yes"] in lines
        assert ["panoptic", "3.7", "M", "78.3", "165", "MiB", "needs", "masks"] in lines
        assert ["owner/net,", "Apache-2.0"] in lines


class TestFineTuning:
    COMMAND = ("--model", MODEL, "--epochs", "1", "--batch-size", "4", "--image-size", "48")

    def test_begins_with_the_published_weights_of_the_model(self, published, sets, tmp_path):
        command = ["train", "--data", str(sets / "coco"), *self.COMMAND, "--work-dir", str(tmp_path / "run")]
        assert main(command) == 0
        config = prepare_config(tmp_path / "run" / "config.py")
        assert config.load_from == MODEL  # and so on every machine
        log = next((tmp_path / "run").glob("*/*.log")).read_text()
        assert f"weights to start from:\n{MODEL}" in log

    def test_unless_it_is_to_begin_from_scratch(self, out_of_reach, sets, tmp_path):
        arguments = dict(data=sets / "coco", model="detr_r50", from_scratch=True)
        path = write_fine_tune_config(**arguments, work_dir=tmp_path / "run")
        assert "load_from" not in path.read_text()
        assert "--model detr_r50 --from-scratch\n" in path.read_text()
        with pytest.raises(InputError, match="--from-scratch and --checkpoint builtin: give one of them"):
            write_fine_tune_config(**arguments, checkpoint="builtin")

    def test_without_a_network_says_what_else_it_could_begin_with(
        self, out_of_reach, cache, sets, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        assert main(["train", "--data", str(sets / "coco"), "--model", "detr_r50"]) == 2
        message = capsys.readouterr().err
        assert f"detr_r50: the weights at {NOWHERE}/net.pth are not here" in message
        assert "Or train with --from-scratch, or from other weights with --checkpoint FILE" in message
        assert not Path("work_dirs").exists()
        assert left_in(cache) == []

    def test_the_model_follows_from_weights_by_name(self, published, sets, tmp_path):
        path = write_fine_tune_config(sets / "coco", checkpoint=MODEL, work_dir=tmp_path / "run")
        assert f"configs/{MODEL}.py" in path.read_text()
        assert f'load_from = "{MODEL}"' in path.read_text()

    def test_a_config_of_ones_own_begins_as_it_says(self, out_of_reach, sets, tmp_path):
        (tmp_path / "own.py").write_text('_base_ = "detr_r50"')
        path = write_fine_tune_config(sets / "coco", str(tmp_path / "own.py"), work_dir=tmp_path / "run")
        assert "load_from" not in path.read_text()
