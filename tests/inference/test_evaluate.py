"""`Detector.evaluate`: the figures of `detr-kit test`, of a detector as it runs."""

import json
import shutil

import pytest

from detr_kit import Detector
from detr_kit.errors import InputError
from detr_kit.fine_tune import evaluate_data


@pytest.fixture(scope="module")
def detector():
    return Detector(checkpoint="builtin", device="cpu")


def test_the_figures_are_those_of_the_command_in_every_format(detector, sets, tmp_path):
    for name in ("coco", "voc", "yolo"):
        expected = evaluate_data(sets / name, "builtin", work_dir=tmp_path / name)
        found = detector.evaluate(sets / name)
        assert {f"coco/{figure}": value for figure, value in found.measured.items()} == pytest.approx(
            expected, abs=1e-6
        )
        assert found.figures["AP"] > 0.3


def test_any_split_and_any_batch(detector, sets):
    val = detector.evaluate(sets / "coco", "val")
    assert detector.evaluate(sets / "coco", "val", batch_size=1).figures == pytest.approx(val.figures)
    assert sum(row["boxes"] for row in detector.evaluate(sets / "coco", "train").per_class.values()) > sum(
        row["boxes"] for row in val.per_class.values()
    )
    with pytest.raises(InputError, match=r"--split test: .* has train, val"):
        detector.evaluate(sets / "coco", "test")


def test_classes_are_matched_by_name(detector, sets, tmp_path, capsys):
    """Other ids, one class unknown: its objects are left out and the other classes keep their figures."""
    plain = detector.evaluate(sets / "coco", "val").per_class
    shutil.copytree(sets / "coco", tmp_path / "set")
    file = tmp_path / "set" / "val.json"
    data = json.loads(file.read_text())
    for category in data["categories"]:
        category["id"] = 100 - category["id"]
        category["name"] = category["name"].replace("circle", "disc")
    for annotation in data["annotations"]:
        annotation["category_id"] = 100 - annotation["category_id"]
    file.write_text(json.dumps(data))
    other = detector.evaluate(tmp_path / "set", "val").per_class
    assert "objects left out: disc" in capsys.readouterr().out
    for name in ("square", "triangle", "star", "ring"):
        assert other[name] == pytest.approx(plain[name])
    for category in data["categories"]:
        category["name"] = f"a {category['name']}"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match="none of its classes"):
        detector.evaluate(tmp_path / "set", "val")
