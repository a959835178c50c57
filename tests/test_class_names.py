"""A class may be called anything: its name is plain text, once made so, and printed as it is."""

import json

import numpy as np
import pytest
from rich.console import Console

from detr_kit import Detector
from detr_kit.categories import UNUSED, Categories, class_name
from detr_kit.check import check_data
from detr_kit.checkpoints.load import LoadReport
from detr_kit.data.formats import find_data
from detr_kit.errors import InputError
from detr_kit.evaluation import evaluate_detections
from detr_kit.evaluation.confusion import confusion_of
from detr_kit.evaluation.error_pictures import draw_confusion

from .data_formats import small_set, write_coco

ODD = ["light[red]", "light[green]", "bolt [/M8]", ":car:", "$\\frac{1}"]


@pytest.mark.parametrize(("given", "name"), [
    (7, "7"), (1.0, "1.0"), (True, "True"), (" circle\t", "circle"), ("\ufeffcircle", "circle"),
    ("[/M8]", "[/M8]"),
    ("two\nlines", "two lines"), ("bell\x07", "bell"), ("e\u0301t\u00e9", "\u00e9t\u00e9"),
])  # fmt: skip
def test_a_name_is_one_line_of_text(given, name):
    assert class_name(given) == name
    assert Categories((given,), (0,)).names == (name,)


@pytest.fixture
def odd_set(shapes, tmp_path):
    """A COCO set whose classes have odd names, one of them a number."""
    data = small_set(shapes / "train.json", 6)
    for category, name in zip(data["categories"], [*ODD[:4], 7], strict=False):
        category["name"] = name
    write_coco(tmp_path / "set", {"train": data, "val": data}, shapes / "train")
    return tmp_path / "set"


def test_the_metrics_table_prints_every_name_as_it_is(odd_set):
    file = odd_set / "val.json"
    data = json.loads(file.read_text())
    found = [
        {k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for a in data["annotations"]
    ]
    result = evaluate_detections(file, found)
    table = result.table()
    for category in data["categories"]:
        assert str(category["name"]) in table
        assert str(category["name"]) in result.per_class
    confusion = confusion_of(file, found, [i["id"] for i in data["images"]])
    assert confusion.names == tuple(str(c["name"]) for c in data["categories"])


def test_the_confusion_matrix_draws_every_name(shapes, tmp_path):
    data = small_set(shapes / "train.json", 2)
    for category, name in zip(data["categories"], ODD, strict=False):
        category["name"] = name
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(data))
    draw_confusion(confusion_of(file, [], [i["id"] for i in data["images"]]), tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_the_check_prints_every_name_as_it_is(odd_set, capsys):
    report = check_data(list(find_data(odd_set).splits.values()), read_images=False)
    report.print(Console(soft_wrap=True, highlight=False, emoji=False))
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*ODD[:4], "7"))


def test_the_load_report_prints_every_name_as_it_is():
    found = LoadReport("w.pth", _Format(), [], [], [], [], [], carried_over=ODD)
    assert all(name in str(found) for name in ODD)


class _Format:
    class architecture:
        config_name = "detr_r50"

    def __str__(self):
        return "detr_kit"


class TestNamesOfADetector:
    def test_may_be_a_list_or_label_and_name(self):
        listed = Detector(checkpoint="builtin", class_names=["a", 7, " c", "d", "e"])
        assert listed.class_names == ("a", "7", "c", "d", "e")
        mapped = Detector(checkpoint="builtin", class_names={0: "a", "1": "b", np.int64(4): "e"})
        assert mapped.class_names == ("a", "b", UNUSED, UNUSED, "e")

    @pytest.mark.parametrize(("names", "message"), [
        ({5: "x"}, "class_names: 5 is no label of a checkpoint with 5 classes: 0 … 4"),
        ({"a": 0}, "class_names: 'a' is no label"),
        ({-1: "x"}, "class_names: -1 is no label"),
        (["a"], "class_names: 1 names for a checkpoint with 5 classes"),
        ("abcde", "class_names: a str; it must be a list of names"),
        ({"a", "b", "c", "d", "e"}, "class_names: a set; it must be a list of names"),
    ])  # fmt: skip
    def test_that_mean_nothing_are_refused(self, names, message):
        with pytest.raises(InputError, match=message):
            Detector(checkpoint="builtin", class_names=names)
