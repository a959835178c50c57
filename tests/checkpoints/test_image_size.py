"""The size of pictures goes to transformers' files and comes back from them."""

import json

import pytest

from detr_kit import Detector
from detr_kit.checkpoints import convert_file, read_checkpoint
from detr_kit.checkpoints.image_size import LARGEST, resize_of_transformers, size_in_transformers

SQUARE = dict(type="Resize", size=[320, 480], antialias=True)
SHORTEST = dict(type="ResizeShortestSide", sizes=[480], max_size=800)


@pytest.mark.parametrize(("transform", "size"), [
    (SQUARE, {"height": 320, "width": 480}),
    (SHORTEST, {"shortest_edge": 480, "longest_edge": 800}),
])  # fmt: skip
def test_there_and_back(transform, size):
    assert size_in_transformers([dict(type="RandomHorizontalFlip"), transform]) == size
    assert resize_of_transformers({"size": size}) == transform


def test_one_side_alone_has_no_limit_for_the_other():
    for transform in (dict(type="Resize", size=300), dict(type="ResizeShortestSide", sizes=300)):
        assert size_in_transformers([transform]) == {"shortest_edge": 300, "longest_edge": LARGEST}
    assert size_in_transformers([]) is None


@pytest.mark.parametrize("processor", [
    {}, {"size": 5}, {"size": {}}, {"size": {"height": 640}}, {"size": {"height": "640", "width": 640}},
    {"size": {"height": 0, "width": 640}}, {"size": {"height": 10**9, "width": 640}},
    {"size": {"shortest_edge": True, "longest_edge": 5}},
    {"size": {"height": 640, "width": 640}, "do_resize": False},
])  # fmt: skip
def test_what_is_no_size_says_nothing(processor):
    assert resize_of_transformers(processor) is None


def test_a_detector_is_as_large_and_has_as_many_queries_over_there_and_back(tmp_path):
    convert_file("builtin", "huggingface", tmp_path / "there")
    processor = json.loads((tmp_path / "there" / "preprocessor_config.json").read_text())
    assert processor["size"] == {"shortest_edge": 128, "longest_edge": 256}
    back = Detector(checkpoint=tmp_path / "there", device="cpu")
    assert back.config.test_dataloader.dataset.transforms[0]["sizes"] == [128]
    assert back.network.num_queries == 30
    for content in ("no JSON", "[]", "null"):
        (tmp_path / "there" / "preprocessor_config.json").write_text(content)
        assert read_checkpoint(tmp_path / "there").metadata["resize"] is None


@pytest.mark.parametrize("to", ["official", "detr_kit"])
def test_a_file_remembers_its_config(to, tmp_path):
    convert_file("builtin", to, tmp_path / "there.pth")
    back = Detector(checkpoint=tmp_path / "there.pth", device="cpu")
    assert back.config.test_dataloader.dataset.transforms[0]["sizes"] == 128
