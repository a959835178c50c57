"""Labels mean the same in training, validation and test, by the names of the classes."""

import json
import shutil

import pytest

from detr_kit.engine import evaluate, train
from detr_kit.errors import InputError

from ..places import TINY


def renumbered(folder, tmp_path, change):
    """The shapes set whose validation file has its categories changed."""
    shutil.copytree(folder, tmp_path / "data")
    file = tmp_path / "data" / "val.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    return {"data_root": str(tmp_path / "data")}


def reverse(data):
    ids = [category["id"] for category in data["categories"]]
    new = dict(zip(ids, [100 + number for number in reversed(ids)], strict=True))
    for category in data["categories"]:
        category["id"] = new[category["id"]]
    for annotation in data["annotations"]:
        annotation["category_id"] = new[annotation["category_id"]]


def rename(data):
    data["categories"][0]["name"] = "something else"
    data["annotations"][0]["category_id"] = data["categories"][0]["id"]


def test_a_test_set_in_another_order_has_the_same_figures(trained, shapes, tmp_path):
    (best,) = trained[0].glob("best_coco*.pth")
    own = evaluate(TINY, best, work_dir=tmp_path / "a", options={"data_root": str(shapes)})
    other = evaluate(TINY, best, work_dir=tmp_path / "b", options=renumbered(shapes, tmp_path, reverse))
    assert other == own


def test_a_class_that_was_not_learned_is_named(trained, shapes, tmp_path):
    (best,) = trained[0].glob("best_coco*.pth")
    options = renumbered(shapes, tmp_path, rename)
    with pytest.raises(InputError, match=r"class 'something else' is not among those of checkpoint"):
        evaluate(TINY, best, work_dir=tmp_path / "a", options=options)
    with pytest.raises(InputError, match=r"class 'something else' is not among those of the training set"):
        train(TINY, work_dir=tmp_path / "b", options=options)
