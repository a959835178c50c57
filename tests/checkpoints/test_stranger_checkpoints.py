"""Checkpoints of strangers: weights are found by what they are, tensors are read and nothing is run."""

import copy
import datetime
import functools
import os
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from detr_kit import Detector
from detr_kit.checkpoints import convert_state_dict, load_checkpoint, read_checkpoint, strip_wrapper
from detr_kit.cli import main
from detr_kit.defaults import BUILTIN
from detr_kit.errors import InputError
from detr_kit.zoo import build_network

from ..places import SMALL
from ..small_models import formats_of

NETWORKS = list(SMALL)
FORMATS = ["detr_kit", "official", "mmdet", "huggingface"]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return build_network(SMALL[request.param])


@pytest.fixture(scope="module")
def deformable():
    torch.manual_seed(0)
    return build_network(SMALL["Deformable DETR"])


def _opens(content, network, tmp_path, save=torch.save):
    save(content, tmp_path / "stranger.pth")
    again = _another(network)
    report = load_checkpoint(again, tmp_path / "stranger.pth", strict=True, quiet=True)
    for key, tensor in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(again.state_dict()[key], tensor), key
    return report


def _another(network):
    """One that knows nothing of the first's weights."""
    another = copy.deepcopy(network)
    for tensor in another.state_dict().values():
        tensor.fill_(7)
    return another


def _in_format(network, format):
    if format not in formats_of(network):
        pytest.skip(f"{format} has no such network")
    return convert_state_dict(network.state_dict(), to=format)


class TestWrappers:
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize(
        "prefix",
        [
            "module.",
            "_orig_mod.",
            "module._orig_mod.",
            "model.",
            "network.",
            "net.",
            "detr.",
            "my_detector.model.",
        ],
    )
    def test_any_prefix_is_taken_off(self, network, format, prefix):
        theirs = _in_format(network, format)
        assert strip_wrapper({prefix + key: tensor for key, tensor in theirs.items()}) == theirs

    @pytest.mark.parametrize("format", FORMATS)
    def test_no_prefix_stays_as_it_is(self, network, format):
        theirs = _in_format(network, format)
        assert strip_wrapper(theirs) == theirs

    def test_compiled_parts_inside(self, deformable):
        state = deformable.state_dict()
        inside = {key.replace("transformer.", "transformer._orig_mod.", 1): t for key, t in state.items()}
        assert strip_wrapper(inside) == state

    @pytest.mark.parametrize("prefix", ["", "detr.", "model."])
    def test_what_is_beside_the_network_is_left_out_and_named(self, deformable, tmp_path, prefix):
        beside = {
            "pixel_mean": torch.zeros(3),
            "pixel_std": torch.ones(3),
            "criterion.empty_weight": torch.ones(6),
            "loss_fn.weight": torch.ones(1),
            "train_loss.total": torch.ones(1),
        }
        state = {prefix + key: tensor for key, tensor in deformable.state_dict().items()}
        report = _opens({"model": {**state, **beside}}, deformable, tmp_path)
        assert set(report.left_out) == set(beside)
        assert "pixel_mean" in str(report)

    def test_what_belongs_to_another_network_is_still_refused(self, deformable, tmp_path):
        state = {**deformable.state_dict(), "transformer.extra.weight": torch.zeros(1)}
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(InputError, match=r"1 unexpected \['transformer.extra.weight'\]"):
            load_checkpoint(_another(deformable), tmp_path / "other.pth", strict=True)

    def test_of_teacher_and_student_the_teacher_is_taken(self, deformable):
        state = deformable.state_dict()
        both = {f"student.{key}": torch.zeros_like(tensor) for key, tensor in state.items()}
        both |= {f"teacher.{key}": tensor for key, tensor in state.items()}
        assert strip_wrapper(both) == state


class TestPlaces:
    @pytest.mark.parametrize(
        "place",
        [
            "state_dict", "model", "model_state_dict", "net", "network", "weights", "params", "ema",
            "ema_state_dict", "ema_model", "student", "checkpoint.model", "ema.module", "anything.at.all",
        ],
    )  # fmt: skip
    def test_weights_are_found_wherever_they_are(self, network, tmp_path, place):
        content = dict(network.state_dict())
        for part in reversed(place.split(".")):
            content = {part: content}
        optimizer = {
            "state": {0: {"exp_avg": torch.ones(9), "exp_avg_sq": torch.ones(9)}},
            "param_groups": [],
        }
        _opens({"epoch": 3, "optimizer": optimizer, **content}, network, tmp_path)

    @pytest.mark.parametrize("place", ["ema", "model_ema", "state_dict_ema", "ema.module", "averaged_model"])
    def test_the_running_average_is_preferred_and_that_is_said(self, deformable, tmp_path, place):
        content = dict(deformable.state_dict())
        for part in reversed(place.split(".")):
            content = {part: content}
        live = {key: torch.zeros_like(tensor) for key, tensor in deformable.state_dict().items()}
        report = _opens({"model": live, **content}, deformable, tmp_path)
        assert report.notes == [f"running average of {place!r} taken, not 'model'"]
        assert report.notes[0] in str(report)

    def test_an_average_that_is_not_complete_is_left(self, deformable, tmp_path):
        state = deformable.state_dict()
        ema = {key: torch.zeros_like(tensor) for key, tensor in state.items() if "running" not in key}
        report = _opens({"ema": ema, "model": state}, deformable, tmp_path)
        assert report.notes == ["weights of 'model' taken, not 'ema'"]

    def test_mmengines_average_is_under_state_dict(self, deformable, tmp_path):
        state = {f"network.{key}": tensor for key, tensor in deformable.state_dict().items()}
        live = {f"module.{key}": torch.zeros_like(tensor) for key, tensor in state.items()}
        content = {"meta": {}, "message_hub": {}, "state_dict": state, "ema_state_dict": live}
        report = _opens(content, deformable, tmp_path)
        assert report.notes == [
            "weights of 'state_dict' (the running average; ema_state_dict has the live weights)"
        ]

    def test_an_optimizers_averages_are_no_weights(self, deformable, tmp_path):
        state = deformable.state_dict()
        moments = {key: torch.zeros_like(tensor) for key, tensor in state.items()}
        _opens({"optimizer_state": {"exp_avg": moments}, "best": dict(state)}, deformable, tmp_path)


class Stranger:
    """Any class of another project."""

    def __init__(self):
        self.__dict__.update(value=3, nested=[1, {"a": 2}], array=np.arange(5), when=datetime.datetime.now())


class Slots:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


class Settings(dict):
    """A dict that lets its keys be read as attributes, as many projects have one."""

    __getattr__ = dict.__getitem__


class Names(list):
    pass


OBJECTS = {
    "history": lambda: {"train/loss": HistoryBuffer([1.0], [1])},
    "numpy": lambda: [np.float64(3), np.arange(4), np.dtype("float32"), np.random.RandomState(0)],
    "date": lambda: [datetime.datetime.now(), datetime.timedelta(1)],
    "path": lambda: Path("a"),
    "class": Stranger,
    "slots": Slots,
    "dict": lambda: Settings(a=Settings(b=1)),
    "list": lambda: Names([1, 2]),
    "collections": lambda: [Counter("abca"), OrderedDict(a=1), defaultdict(list, a=[1]), deque([1, 2])],
    "function": lambda: [os.path.join, functools.partial(print, 3), len, Stranger],
    "generator": lambda: [
        torch.random.get_rng_state(),
        torch.Size([1, 2]),
        torch.device("cpu"),
        torch.float16,
    ],
    "module": lambda: nn.Linear(2, 2),
    "set": lambda: [{1, 2}, frozenset([3]), slice(1, 2), 3 + 4j, b"bytes", bytearray(b"x"), 2**70],
    "optimizer": lambda: torch.optim.AdamW(nn.Linear(2, 2).parameters()),
}


class TestWhateverElseItHolds:
    @pytest.mark.parametrize("kind", OBJECTS)
    @pytest.mark.parametrize(
        "save",
        [
            torch.save,
            functools.partial(torch.save, pickle_protocol=5),
            functools.partial(torch.save, _use_new_zipfile_serialization=False),
        ],
        ids=["archive", "protocol 5", "legacy"],
    )
    def test_tensors_are_read_beside_any_object(self, deformable, tmp_path, kind, save):
        state = deformable.state_dict()
        content = {"first": OBJECTS[kind](), "meta": {"dataset_meta": {"classes": tuple("abcde")}}}
        _opens({**content, "state_dict": state, "last": OBJECTS[kind]()}, deformable, tmp_path, save)
        assert read_checkpoint(tmp_path / "stranger.pth").metadata["classes"] == list("abcde")

    def test_a_whole_pickled_network_and_its_wrapper(self, network, tmp_path):
        _opens(network, network, tmp_path)
        _opens({"model": nn.Sequential(OrderedDict(module=network)), "epoch": 1}, network, tmp_path)

    def test_kinds_and_views_of_tensors_come_back(self, tmp_path):
        base = torch.arange(12.0)
        tensors = {
            "view": base[2:8].view(2, 3).t(), "other": base[4:], "parameter": nn.Parameter(torch.ones(3)),
            "half": torch.ones(2, dtype=torch.float16), "brain": torch.ones(2, dtype=torch.bfloat16),
            "int": torch.arange(3), "bool": torch.tensor([True, False]), "empty": torch.empty(0, 4),
            "scalar": torch.tensor(7), "bytes": torch.ones(2, dtype=torch.uint8),
            "double": torch.ones(1).double(),
        }  # fmt: skip
        torch.save({"model": tensors, "other": Stranger()}, tmp_path / "kinds.pth")
        found = read_checkpoint(tmp_path / "kinds.pth").state_dict
        for key, tensor in tensors.items():
            assert found[key].dtype == tensor.dtype
            assert torch.equal(found[key], tensor), key

    def test_every_byte_that_is_cut_off_is_one_clear_error(self, tmp_path):
        for legacy in (False, True):
            torch.save(
                {"model": {"a": torch.randn(50)}, "other": Stranger()},
                tmp_path / "good.pth",
                _use_new_zipfile_serialization=not legacy,
            )
            data = (tmp_path / "good.pth").read_bytes()
            for length in range(1, len(data) - 30, 97):
                (tmp_path / "cut.pth").write_bytes(data[:length])
                with pytest.raises(InputError, match=r"cut\.pth"):
                    read_checkpoint(tmp_path / "cut.pth")


class TestNotFinite:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
    def test_weights_are_refused_by_the_first_tensor_and_their_number(
        self, deformable, tmp_path, value, dtype
    ):
        state = {k: t.to(dtype) if t.is_floating_point() else t for k, t in deformable.state_dict().items()}
        for key in ("query_embed.weight", "transformer.level_embed"):
            state[key] = state[key].clone()
            state[key].view(-1)[-1] = value
        torch.save(state, tmp_path / "nan.pth")
        with pytest.raises(InputError, match=r"2 of \d+ tensors hold NaN or infinity \(first: "):
            Detector(SMALL["Deformable DETR"], tmp_path / "nan.pth", "cpu")

    def test_so_say_test_export_and_convert_and_leave_nothing(self, tmp_path, shapes, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        state = {key: tensor * float("nan") for key, tensor in read_checkpoint("builtin").state_dict.items()}
        torch.save(state, "nan.pth")
        weights = ["--model", BUILTIN, "--checkpoint", "nan.pth"]
        for command in (
            ["convert", "nan.pth", "--to", "official", "-o", "out/a.pth"],
            ["export", *weights, "--format", "torch-export", "-o", "out/a.pt2"],
            ["predict", str(shapes / "val"), *weights, "--out", "out"],
            ["explain", str(shapes / "val" / "000001.png"), *weights, "--out", "out"],
        ):
            assert main(command) == 2
            assert "hold NaN or infinity (first: " in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["nan.pth"]


@pytest.mark.parametrize("arguments", [
    ["gone.pth", "--to", "official", "-o", "out/a.pth"], ["builtin", "--to", "official", "-o", "out/a.onnx"],
    ["builtin", "--to", "huggingface", "-o", "out/a.pth"], ["text.pth", "--to", "mmdet", "-o", "out/a.pth"],
    ["builtin", "--to", "mmdet", "--classes", "coco80", "-o", "out/a.pth"],
    ["text.pth", "--to", "official", "-o", "text.pth"], ["builtin", "--to", "huggingface", "-o", "text"],
    ["builtin", "--to", "official", "-o", "text/a.pth"],
])  # fmt: skip
def test_a_refused_conversion_leaves_nothing_behind(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    for name in ("text.pth", "text"):
        Path(name).write_text("no checkpoint")
    assert main(["convert", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text", "text.pth"]
    assert Path("text.pth").read_text() == "no checkpoint"


def _archive(path: Path, pickled: bytes, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
        for name, data in parts.items():
            archive.writestr(f"a/data/{name}", data)
    return path


def test_storages_are_nowhere_but_in_the_archive(tmp_path):
    """A key that leads out of it, one that is not there, sizes beyond it, and what unfolds to any size."""
    (tmp_path / "secret").write_bytes(b"s" * 400)
    torch.save({"model": {"a": torch.ones(4)}, "other": Stranger()}, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as archive:
        pickled = archive.read("good/data.pkl")
    ones = np.ones(4, np.float32).tobytes()
    assert read_checkpoint(_archive(tmp_path / "same.pth", pickled, **{"0": ones})).state_dict["a"].sum() == 4
    key = b"X\x01\x00\x00\x000"
    assert pickled.count(key) == 1
    for other in (b"../../secret", str(tmp_path / "secret").encode(), b"7"):
        moved = pickled.replace(key, b"X" + len(other).to_bytes(4, "little") + other)
        with pytest.raises(InputError, match="cut off or no PyTorch"):
            read_checkpoint(_archive(tmp_path / "moved.pth", moved, **{"0": ones}))
    with pytest.raises(InputError, match="cut off or no PyTorch"):
        read_checkpoint(_archive(tmp_path / "small.pth", pickled, **{"0": ones[:8]}))
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickled, zipfile.ZIP_STORED)
        archive.writestr("a/data/0", b"\0" * 10**6)
    with pytest.raises(InputError, match=r"bomb\.pth"):
        read_checkpoint(tmp_path / "bomb.pth")
