"""A COCO file and its pictures: what is read, and what is refused with which words."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detr_kit.data import (
    CocoDataset,
)
from detr_kit.data.coco_annotations import read_coco_annotations
from detr_kit.errors import InputError

from ..data_formats import rewrite_set


def _coco(**changes):
    data = {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [4, 6, 10, 8]}],
        "categories": [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    return {**data, **changes}


@pytest.fixture
def write(tmp_path):
    """Write a COCO file and its 40 × 30 image; returns the data set's arguments."""

    def write_(data, **arguments):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((30, 40, 3), 90, np.uint8))
        (tmp_path / "coco.json").write_text(data if isinstance(data, str) else json.dumps(data))
        return CocoDataset("coco.json", "", data_root=str(tmp_path), **arguments)

    return write_


class TestDataset:
    def test_labels_are_contiguous_in_the_order_of_ids(self, write):
        dataset = write(_coco())
        assert dataset.categories.names == ("dog", "cat")
        assert dataset.categories.ids == (2, 5)
        target = dataset[0].target
        assert target.labels.tolist() == [1]
        torch.testing.assert_close(target.boxes, torch.tensor([[9 / 40, 10 / 30, 10 / 40, 8 / 30]]))
        assert (target.image_id, target.size, target.original_size) == (7, (30, 40), (30, 40))

    def test_labels_can_be_the_category_ids(self, write):
        dataset = write(_coco(), labels="category_id")
        assert dataset.categories.names == ("N/A", "N/A", "dog", "N/A", "N/A", "cat")
        assert dataset[0].target.labels.tolist() == [5]
        with pytest.raises(InputError, match='"contiguous" or "category_id"'):
            write(_coco(), labels="ids")

    def test_crowds_and_boxes_without_area_are_no_objects(self, write):
        first = _coco()["annotations"][0]
        crowd = {**first, "id": 2, "iscrowd": 1}
        empty = {**first, "id": 3, "bbox": [3, 3, 0, 5]}
        dataset = write(_coco(annotations=[crowd, empty, first]))
        assert len(dataset[0].target.labels) == 1
        assert "1 crowd regions" in str(dataset)
        assert "1 boxes without area" in str(dataset)
        assert len(write(_coco(annotations=[crowd, first]), keep_crowd=True)[0].target.labels) == 2

    def test_boxes_are_clipped_to_the_image(self, write):
        dataset = write(
            _coco(annotations=[{"id": 1, "image_id": 7, "category_id": 2, "bbox": [30, -5, 90, 15]}])
        )
        torch.testing.assert_close(dataset[0].target.boxes, torch.tensor([[0.875, 1 / 6, 0.25, 1 / 3]]))

    def test_images_without_boxes_are_kept_or_skipped(self, write):
        empty = _coco(annotations=[])
        sample = write(empty)[0]
        assert sample.target.boxes.shape == (0, 4)
        with pytest.raises(InputError, match="no image to use"):
            write(empty, keep_empty=False)

    def test_annotations_follow_a_turned_image(self, write, tmp_path):
        dataset = write(_coco())
        stored = Image.fromarray(np.zeros((40, 30, 3), np.uint8))  # 30 wide, turned by its EXIF
        exif = Image.Exif()
        exif[0x0112] = 6
        stored.save(tmp_path / "a.png", exif=exif)
        assert dataset[0].image.shape == (3, 30, 40)

    @pytest.mark.parametrize(
        "name", ["images\\a.png", "C:\\set\\a.png", "A.PNG", "%61.png", "/data/upload/4/a.png"]
    )
    def test_file_names_that_are_spelt_otherwise_find_their_picture_and_it_is_said(self, write, name):
        dataset = write(_coco(images=[{"id": 7, "file_name": name, "width": 40, "height": 30}]))
        assert dataset[0].image.shape == (3, 30, 40)
        assert f"{name!r} is 'a.png'" in str(dataset)

    def test_real_photographs(self, shared):
        bccd = shared / "data" / "bccd"
        dataset = CocoDataset("train.json", "images", data_root=str(bccd))
        assert len(dataset) == 205
        assert dataset.categories.names == ("RBC", "WBC", "Platelets")
        assert dataset.annotations.num_empty_boxes == 1
        sample = dataset[3]
        assert sample.image.shape == (3, 480, 640)
        assert sample.image.dtype == torch.uint8


BAD_FILES = {
    "broken JSON": ('{"images": [', "not valid JSON"),
    "a list": ([], "a JSON list, not a COCO file"),
    "no annotations": ({"images": [], "categories": []}, "'annotations' is missing"),
    "unknown image": (
        _coco(annotations=[{"id": 9, "image_id": 8, "category_id": 5, "bbox": [0, 0, 1, 1]}]),
        "annotation id 9: image_id=8: no image has this id",
    ),
    "unknown category": (
        _coco(annotations=[{"id": 9, "image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]}]),
        "annotation id 9: category_id=1: no category has this id",
    ),
    "NaN": (
        _coco(annotations=[{"id": 9, "image_id": 7, "category_id": 5, "bbox": [0, float("nan"), 1, 1]}]),
        "annotation id 9: bbox=\\[0, nan, 1, 1\\]: not finite",
    ),
    "negative": (
        _coco(annotations=[{"id": 9, "image_id": 7, "category_id": 5, "bbox": [0, 0, -1, 1]}]),
        "annotation id 9: bbox=\\[0, 0, -1, 1\\]: negative size",
    ),
    "three numbers": (
        _coco(annotations=[{"id": 9, "image_id": 7, "category_id": 5, "bbox": [0, 0, 1]}]),
        "it must be \\[x, y, width, height\\]",
    ),
    "no box": (
        _coco(annotations=[{"id": 9, "image_id": 7, "category_id": 5}]),
        "annotations\\[0\\] has no 'bbox'",
    ),
    "id given twice": (
        _coco(categories=[{"id": 5, "name": "a"}, {"id": 5, "name": "b"}]),
        "categories: id=5 is given twice",
    ),
    "id is text": (_coco(categories=[{"id": "five", "name": "a"}]), "id='five' is not an integer"),
    "missing image": (
        _coco(images=[{"id": 7, "file_name": "gone.png", "width": 40, "height": 30}]),
        "1 of 1 images are not in .*file_name='gone.png'",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_annotation_files_are_refused_when_the_set_is_opened(write, name):
    data, message = BAD_FILES[name]
    with pytest.raises(InputError, match=message) as error:
        write(data)
    assert "coco.json" in str(error.value)


def test_a_picture_of_another_size_is_refused(write):
    dataset = write(_coco(images=[{"id": 7, "file_name": "a.png", "width": 41, "height": 30}]))
    with pytest.raises(InputError, match="it is 40 × 30 pixels, the annotation file says 41 × 30"):
        dataset[0]


def test_how_many_are_bad_is_said():
    with pytest.raises(InputError, match=r"no such file|No such file"):
        read_coco_annotations("/nowhere/coco.json")


def test_odd_fields_are_refused_by_name(shapes, tmp_path):
    def name_na(data):
        data["categories"][0]["name"] = "N/A"

    def bad_height(data):
        data["images"][0]["height"] = "abc"

    for i, (change, message) in enumerate(((name_na, "'N/A'"), (bad_height, "height='abc'"))):
        rewrite_set(tmp_path / str(i), shapes, change)
        with pytest.raises(InputError, match=message):
            CocoDataset("train.json", "train", data_root=str(tmp_path / str(i)))
