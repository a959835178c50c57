"""Checkpoints: names both ways, safe reading, and reports of what was loaded."""

import pickle
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detr_kit import build_network
from detr_kit.categories import COCO_91, Categories
from detr_kit.checkpoints import (
    convert_state_dict,
    detect_format,
    load_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from detr_kit.errors import InputError
from detr_kit.families.rules import Rule

from ..parity.reference_model import Reference

NAMES = ["detr_r50", "deformable_detr_r50", "deformable_detr_r50_refine", "deformable_detr_r50_two_stage"]


@pytest.mark.parametrize("name", NAMES)
def test_official_names_come_back_exactly(name):
    state = Reference(name).state_dict()
    ours = convert_state_dict(state)
    assert detect_format(ours) == "detr_kit"
    assert detect_format(ours).architecture == detect_format(state).architecture
    back = convert_state_dict(ours, to="official")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_shared_heads_share_their_memory():
    official = convert_state_dict(build_network("deformable_detr_r50").state_dict(), to="official")
    assert official["class_embed.0.weight"].data_ptr() == official["class_embed.5.weight"].data_ptr()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_aliases_are_stored_once_and_come_back(tmp_path, suffix):
    official = Reference("deformable_detr_r50").state_dict()
    path = tmp_path / f"weights.{suffix}"
    write_checkpoint(path, official, {})
    back = read_checkpoint(path).state_dict
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)
    unique = {t.data_ptr(): t.numel() for t in official.values()}
    assert path.stat().st_size < 4 * sum(unique.values()) * 1.01


def test_the_panoptic_prefix_is_understood():
    state = {f"detr.{key}": tensor for key, tensor in Reference("detr_r50").state_dict().items()}
    assert detect_format(state).architecture.config_name == "detr_r50"


@pytest.mark.parametrize("name", NAMES)
def test_converted_weights_cover_the_network(name):
    converted = convert_state_dict(Reference(name).state_dict())
    assert converted.keys() == build_network(name).state_dict().keys()


def test_unknown_weights_are_refused():
    with pytest.raises(InputError, match="not the weights of a DETR"):
        detect_format({"conv1.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="to='onnx'; it must be one of"):
        convert_state_dict(build_network("detr_r50").state_dict(), to="onnx")


@given(st.integers(0, 999), st.sampled_from(["weight", "bias"]))
def test_rules_go_both_ways(number, parameter):
    rule = Rule("a.{i}.norm.{p}", "b.layers.{i}.n1.{p}")
    theirs = f"b.layers.{number}.n1.{parameter}"
    assert rule.to_ours(theirs) == f"a.{number}.norm.{parameter}"
    assert rule.to_theirs(rule.to_ours(theirs)) == theirs
    assert rule.to_ours(theirs + ".x") is None
    assert rule.to_ours(theirs.replace(".", "_")) is None


class TestLoading:
    @pytest.fixture
    def network(self):
        return build_network("deformable_detr_r50", num_queries=300)

    def test_an_official_training_checkpoint(self, network, tmp_path):
        state = Reference("deformable_detr_r50").state_dict()
        content = {"model": state, "args": Namespace(lr=2e-4), "optimizer": {}, "epoch": 49}
        torch.save(content, tmp_path / "official.pth")
        report = load_checkpoint(network, tmp_path / "official.pth", strict=True)
        assert report.format == "official"
        assert len(report.loaded) == len(network.state_dict())
        assert report.missing == report.unexpected == report.reinitialised == []
        assert "transformer.encoder_layers.0.ffn.linear1.weight" in report.converted
        torch.testing.assert_close(network.class_heads[0].weight, state["class_embed.0.weight"])

    def test_other_classes_keep_their_own_head(self, tmp_path):
        torch.save({"model": Reference("deformable_detr_r50").state_dict()}, tmp_path / "official.pth")
        network = build_network("deformable_detr_r50", num_classes=3)
        before = network.class_heads[0].weight.clone()
        report = load_checkpoint(network, tmp_path / "official.pth")
        assert report.reinitialised == ["class_heads.0.weight", "class_heads.0.bias"]
        assert torch.equal(network.class_heads[0].weight, before)
        assert "re-initialised" in str(report)
        with pytest.raises(InputError, match="91 classes and does not fit"):
            load_checkpoint(network, tmp_path / "official.pth", strict=True)

    def test_weights_of_another_model_are_refused(self, tmp_path):
        torch.save(Reference("detr_r50").state_dict(), tmp_path / "detr.pth")
        with pytest.raises(InputError, match=r"it is of detr_r50, and only .* of this DeformableDETR fit"):
            load_checkpoint(build_network("deformable_detr_r18_shapes"), tmp_path / "detr.pth")

    def test_safetensors_carry_the_classes(self, network, tmp_path):
        path = tmp_path / "weights.safetensors"
        write_checkpoint(path, network.state_dict(), COCO_91.to_metadata())
        report = load_checkpoint(network, path, strict=True)
        assert report.categories == COCO_91
        assert report.format == "detr_kit"
        assert Categories.from_metadata(read_checkpoint(path).metadata) == COCO_91


def test_weights_of_shared_classes_are_carried_over(tmp_path):
    state = Reference("deformable_detr_r50_two_stage").state_dict()
    torch.save({"model": state}, tmp_path / "official.pth")
    names = ["forklift", "person", "dog"]
    network = build_network("deformable_detr_r50_two_stage", num_classes=3)
    fresh = network.class_heads[0].weight[0].clone()
    report = load_checkpoint(network, tmp_path / "official.pth", class_names=names)
    assert report.carried_over == ["person", "dog"]
    assert torch.equal(network.class_heads[3].weight[1], state["class_embed.3.weight"][1])
    assert torch.equal(network.class_heads[3].bias[2], state["class_embed.3.bias"][18])  # dog is id 18
    assert torch.equal(network.class_heads[0].weight[0], fresh)
    assert torch.equal(network.class_heads[6].weight[0], state["class_embed.6.weight"][0])  # object or not

    torch.save({"model": Reference("detr_r50").state_dict()}, tmp_path / "detr.pth")
    detr = build_network("detr_r50", num_classes=3)
    load_checkpoint(detr, tmp_path / "detr.pth", class_names=names)
    original = Reference("detr_r50").state_dict()["class_embed.weight"]
    assert torch.equal(detr.class_head.weight[3], original[91])  # "no object"
    assert torch.equal(detr.class_head.weight[1], original[1])


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))], ids=["torch", "pickle"]
)
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path, save):
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    save({"model": Hostile(marker)}, path)
    with pytest.raises(InputError, match="which could run code when loaded, so it was refused"):
        read_checkpoint(path)
    assert not marker.exists()
    if save is torch.save:  # the file does what it threatens, where it is let
        torch.load(path, weights_only=False)
        assert marker.exists()


def test_damaged_files_get_one_clear_error(tmp_path):
    good = tmp_path / "good.pth"
    torch.save({"model": {"a": torch.randn(1000)}}, good)
    (tmp_path / "cut.pth").write_bytes(good.read_bytes()[:-1500])
    (tmp_path / "text.pth").write_text("not a checkpoint")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    for name, words in {
        "cut.pth": "cut off or no PyTorch",
        "text.pth": "no PyTorch",
        "empty.pth": "no PyTorch",
        "cut.safetensors": "not a whole .safetensors",
        "list.pth": "holds a list",
        "none.pth": "holds no tensors",
        "gone.pth": "no such file",
    }.items():
        with pytest.raises(InputError, match=words) as error:
            read_checkpoint(tmp_path / name)
        assert name in str(error.value)
        assert len(str(error.value).splitlines()) == 1
