"""One judgement of a COCO file's lists: what programs write is read, and what cannot be used is named."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from detr_kit.check import check_data
from detr_kit.data.annotation_table import annotation_table, too_many
from detr_kit.data.coco_annotations import read_coco_annotations
from detr_kit.data.formats import find_data
from detr_kit.errors import InputError
from detr_kit.evaluation.coco_evaluation import load_ground_truth


def lists(**annotation):
    """Two images with a box each of one class; the first annotation is changed."""
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in (1, 2)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [4, 6, 10, 8], "area": 80, "iscrowd": 0}
            | annotation,
            {"id": 2, "image_id": 2, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
        ],
        "categories": [{"id": 3, "name": "a"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "annotation",
    [
        dict(image_id="1"), dict(image_id=1.0), dict(category_id="3"), dict(category_id=3.0),
        dict(area="858"),
        dict(area=math.nan), dict(area=0), dict(area=None), dict(iscrowd="0"), dict(iscrowd=False),
        dict(iscrowd=None), dict(bbox=["4", "6", "10", "8"]),
        dict(bbox=None, segmentation=[[4, 6, 14, 6, 14, 14, 4, 14]]),
    ],
    ids=str,
)  # fmt: skip
def test_what_other_programs_write_is_read_by_all_alike(tmp_path, annotation):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(lists(**annotation)))
    read = read_coco_annotations(file)
    assert read.boxes.tolist() == [[4, 6, 14, 14], [1, 2, 4, 6]]
    assert not read.crowd.any()
    truth = load_ground_truth(file).loadAnns([1])[0]
    assert truth["bbox"] == [4, 6, 10, 8]
    assert truth["area"] > 0
    assert (truth["image_id"], truth["category_id"], truth["iscrowd"]) == (1, 3, 0)


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (dict(image_id=9), "image-unknown"),
        (dict(category_id=9), "category-unknown"),
        (dict(bbox=[1, 2, 3]), "box-malformed"),
        (dict(bbox=[1, 2, 3, math.nan]), "box-nan"),
        (dict(bbox=[1, 2, -3, 4]), "box-negative"),
        (dict(bbox=[1, 2, 0, 4]), "box-zero-area"),
        (dict(bbox=[100, 2, 3, 4]), "box-outside"),
        (dict(iscrowd="perhaps"), "crowd-malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_annotation_that_cannot_be_used_is_left_out_counted_and_named(tmp_path, annotation, fault):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "1.png")
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "2.png")
    file = tmp_path / "train.json"
    file.write_text(json.dumps(lists(**annotation)))
    assert dict(read_coco_annotations(file).left_out) == {fault: 1}
    assert len(load_ground_truth(file).getAnnIds()) == 1
    splits = list(find_data(tmp_path).splits.values())
    usual, strict = check_data(splits), check_data(splits, max_left_out=0)
    assert (usual.exit_code, strict.exit_code) == (0, 1)
    assert [f for _, f in strict.findings() if f.verdict == "error"]
    with pytest.raises(InputError, match=r"annotation id 1.*1 of 2 annotations cannot be used"):
        read_coco_annotations(file, max_left_out=0)


def test_more_than_a_slip_is_an_error():
    assert not too_many(1, 20)  # a single one
    assert too_many(1, 1)  # all there is
    assert too_many(2, 200)
    assert not too_many(2, 201)
    assert too_many(1, 10**6, max_left_out=0)
    assert not too_many(10, 10, max_left_out=1)


def test_ids_beyond_64_bits_make_the_file_unusable_and_are_named():
    data = lists()
    data["images"][0]["id"] = 2**64
    table = annotation_table("train.json", data)
    with pytest.raises(InputError, match=r"images\[0\]: id='18446744073709551616' is not an integer"):
        table.refuse()


def test_a_width_in_text_is_a_width():
    data = lists()
    data["images"][0].update(width="64", height="48.0")
    assert np.array_equal(annotation_table("train.json", data).sizes, [[64, 48], [64, 48]])
