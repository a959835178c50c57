"""Images of rare classes are drawn more often, and none is left out."""

import json
import shutil

import numpy as np
import pytest

from detr_kit.data import CocoDataset, EpochSampler
from detr_kit.data.class_balance import repeat_factors


@pytest.fixture
def rare(shapes, tmp_path):
    """The shapes set, where one image alone has rings."""
    shutil.copytree(shapes, tmp_path / "data")
    data = json.loads((shapes / "train.json").read_text())
    rings = [a for a in data["annotations"] if a["category_id"] == 5]
    keep = rings[0]["image_id"]
    data["annotations"] = [a for a in data["annotations"] if a["category_id"] != 5 or a["image_id"] == keep]
    (tmp_path / "data" / "train.json").write_text(json.dumps(data))
    return CocoDataset("train.json", "train", data_root=str(tmp_path / "data")), keep - 1


class TestClassBalance:
    def test_factors(self, rare):
        dataset, index = rare
        factors = repeat_factors(dataset, 0.5)
        assert factors[index] == pytest.approx(np.sqrt(0.5 * 24 / 1))
        assert (factors >= 1).all()
        assert factors.max() == factors[index]

    def test_rare_images_are_drawn_more_often(self, rare):
        dataset, index = rare
        sampler = EpochSampler(dataset, class_balance=0.5, seed=1)
        drawn = []
        for epoch in range(20):
            sampler.set_epoch(epoch)
            images = [draw.image for draw in sampler]
            assert len(images) == len(sampler)
            assert set(images) == set(range(24))  # none is left out
            drawn += images
        factors = repeat_factors(dataset, 0.5)
        assert drawn.count(index) / 20 == pytest.approx(factors[index], rel=0.1)
