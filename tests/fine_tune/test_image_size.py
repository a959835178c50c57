"""The size of pictures follows from the size of what is in them."""

import json

import pytest

from detr_kit.cli import main
from detr_kit.engine import prepare_config
from detr_kit.fine_tune.data import Part
from detr_kit.fine_tune.image_size import propose_image_size
from detr_kit.fine_tune.run import write_fine_tune_config

from ..data_formats import write_coco
from ..places import TINY


def part(tmp_path, sides, size=(1600, 1200)):
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, side, side]}
            for i, side in enumerate(sides)
        ],
    }
    return Part(tmp_path / "a.json", tmp_path, data)


@pytest.mark.parametrize(("sides", "size", "expected"), [
    ([24] * 20, (1600, 1200), 800),  # 16 pixels at 800 of 1200
    ([20] * 20, (1600, 1200), 960),
    ([2] * 20, (1600, 1200), 1184),  # no more than there is
    ([600] * 20, (1600, 1200), 320),
    ([24] + [600] * 19, (1600, 1200), 320),  # one of twenty is not a tenth
    ([24] * 3 + [600] * 17, (1600, 1200), 800),
    ([4] * 5, (200, 100), 320),
])  # fmt: skip
def test_a_tenth_of_the_objects_has_sixteen_pixels(tmp_path, sides, size, expected):
    proposed, why = propose_image_size(part(tmp_path, sides, size))
    assert proposed == expected
    assert f"at {expected} pixels" in why


def test_nothing_to_go_by(tmp_path):
    assert propose_image_size(part(tmp_path, [])) is None


class TestWritten:
    @pytest.fixture
    def small_objects(self, sets, tmp_path):
        """A third of the smallest boxes' size: 64-pixel pictures said to be 640."""
        data = json.loads((sets / "coco" / "train.json").read_text())
        for image in data["images"]:
            image["width"] = image["height"] = 640
        write_coco(tmp_path / "set", {"train": data, "val": data}, sets / "coco" / "images")
        return tmp_path / "set"

    def test_auto_takes_it_and_says_why(self, small_objects, tmp_path):
        path = write_fine_tune_config(small_objects, TINY, work_dir=tmp_path / "run", image_size="auto")
        (size,) = prepare_config(path).test_dataloader.dataset.transforms[0].sizes
        assert size > 320
        assert f"# --image-size auto: {size}: the smallest tenth of the boxes" in path.read_text()

    def test_another_size_is_kept_and_it_is_proposed(self, small_objects, tmp_path):
        path = write_fine_tune_config(small_objects, TINY, work_dir=tmp_path / "run", image_size=96)
        assert prepare_config(path).test_dataloader.dataset.transforms[0].sizes == [96]
        line = next(line for line in path.read_text().splitlines() if "are seen at 96 pixels" in line)
        assert "shows small objects better: the smallest tenth" in line
        path = write_fine_tune_config(small_objects, TINY, work_dir=tmp_path / "large", image_size=2000)
        assert "is enough, and quicker" in path.read_text()

    def test_what_is_neither_is_refused(self, capsys):
        with pytest.raises(SystemExit):
            main(["train", "--data", "x", "--image-size", "large"])
        assert "'large': it must be a number, or auto" in capsys.readouterr().err
