"""The drawn demo set: the same seed gives the same pictures and boxes."""

import json

import torch

from detr_kit.data import (
    CocoDataset,
    write_shapes,
)


class TestShapes:
    def test_the_same_seed_gives_the_same_set(self, tmp_path):
        for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
            write_shapes(tmp_path / folder, num_train=3, num_val=2, image_size=48, seed=seed)
        images = {f: (tmp_path / f / "train" / "000002.png").read_bytes() for f in "abc"}
        assert images["a"] == images["b"] != images["c"]
        texts = {f: json.loads((tmp_path / f / "train.json").read_text())["annotations"] for f in "abc"}
        assert texts["a"] == texts["b"] != texts["c"]

    def test_train_and_val_differ(self, shapes):
        train, val = ((shapes / split / "000001.png").read_bytes() for split in ("train", "val"))
        assert train != val

    def test_boxes_fit_what_is_drawn(self, shapes):
        dataset = CocoDataset("train.json", "train", data_root=str(shapes))
        boxes = torch.cat([sample.target.boxes for sample in dataset])
        assert len(boxes) > 24
        assert boxes.min() > 0
        assert (boxes[:, 2:] > 0.05).all()

    def test_a_finished_set_is_kept_and_an_unfinished_one_drawn_again(self, tmp_path):
        arguments = dict(num_train=2, num_val=1, image_size=32)
        write_shapes(tmp_path, **arguments)
        first = (tmp_path / "train.json").stat().st_mtime_ns
        write_shapes(tmp_path, **arguments)
        assert (tmp_path / "train.json").stat().st_mtime_ns == first
        (tmp_path / "train.json").write_text("{")
        write_shapes(tmp_path, **arguments)
        assert len(json.loads((tmp_path / "train.json").read_text())["images"]) == 2
