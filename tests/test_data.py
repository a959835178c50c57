"""Data: what is read, what is augmented, and what is refused with which words."""

import json
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import SequentialSampler
from torchvision import tv_tensors
from torchvision.ops import box_convert

from detr_kit.data import (
    AspectRatioBatchSampler,
    CocoDataset,
    RandomSizeCrop,
    ResizeShortestSide,
    decode_image,
    pad_collate,
    read_image,
    write_shapes,
)
from detr_kit.data.coco_annotations import read_coco_annotations
from detr_kit.data.normalize import drop_mask_without_padding, normalize_batch
from detr_kit.data.transforms import shortest_side_size
from detr_kit.errors import InputError


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


class TestReadImage:
    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
    def test_formats(self, tmp_path, suffix):
        path = tmp_path / f"image.{suffix}"
        Image.fromarray(np.full((9, 12, 3), (200, 100, 50), np.uint8)).save(path)
        image = read_image(path)
        assert image.shape == (9, 12, 3)
        assert np.abs(image.astype(int) - (200, 100, 50)).max() < 12

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1", "CMYK"])
    def test_modes_become_rgb(self, tmp_path, mode):
        path = tmp_path / ("image.tif" if mode in ("I;16", "CMYK") else "image.png")
        if mode == "I;16":
            Image.fromarray(np.full((5, 6), 128 << 8, np.uint16)).save(path)
        else:
            Image.new("RGB", (6, 5), (128, 128, 128)).convert(mode).save(path)
        image = read_image(path)
        assert image.shape == (5, 6, 3)
        assert image.dtype == np.uint8
        if mode not in ("1", "P", "CMYK"):
            assert np.abs(image.astype(int) - 128).max() <= 3

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
    def test_truncated_files_are_refused(self, tmp_path, suffix):
        path = tmp_path / f"image.{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:-700])
        with pytest.raises(InputError, match=f"image.{suffix}: (truncated|not an image)"):
            read_image(path)

    def test_what_is_no_image_is_refused(self, tmp_path):
        (tmp_path / "notes.jpg").write_text("not a picture")
        (tmp_path / "empty.png").write_bytes(b"")
        with pytest.raises(InputError, match=r"notes\.jpg: not an image"):
            read_image(tmp_path / "notes.jpg")
        with pytest.raises(InputError, match="the file is empty"):
            read_image(tmp_path / "empty.png")
        with pytest.raises(InputError, match=r"gone\.jpg: No such file"):
            read_image(tmp_path / "gone.jpg")

    def test_orientation_is_applied_on_request(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (8, 4)).save(tmp_path / "image.jpg", exif=exif)
        assert read_image(tmp_path / "image.jpg").shape == (4, 8, 3)
        assert read_image(tmp_path / "image.jpg", apply_orientation=True).shape == (8, 4, 3)

    def test_bytes_after_the_end_do_not_matter(self, tmp_path):
        Image.new("RGB", (8, 4), (10, 20, 30)).save(tmp_path / "image.png")
        data = (tmp_path / "image.png").read_bytes()
        np.testing.assert_array_equal(decode_image(data + b"trailing junk"), decode_image(data))


@pytest.mark.parametrize(("image", "size", "limit", "expected"), [
    ((480, 640), 800, 1333, (800, 1066)),
    ((427, 640), 800, 1333, (800, 1199)),
    ((640, 427), 800, 1333, (1199, 800)),
    ((333, 500), 800, 1333, (800, 1201)),
    ((200, 640), 800, 1333, (417, 1334)),  # as the original rounds: 416.56 -> 417, int(417 * 3.2) = 1334
    ((800, 1000), 800, None, (800, 1000)),
])  # fmt: skip
def test_sizes_are_those_of_the_original_code(image, size, limit, expected):
    assert shortest_side_size(*image, size, limit) == expected


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 900), st.integers(900, 1500))
def test_resizing_keeps_the_shape_within_rounding(height, width, size, limit):
    h, w = shortest_side_size(height, width, size, limit)
    assert min(h, w) >= 1
    assert min(h, w) <= max(size, 1) or (h, w) == (height, width)
    if min(h, w) > 20:
        assert h / w == pytest.approx(height / width, rel=0.06)


def _sample(height=60, width=80):
    image = tv_tensors.Image(torch.zeros(3, height, width, dtype=torch.uint8))
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[8.0, 6, 40, 30]]), format="XYXY", canvas_size=(height, width)
    )
    return {"image": image, "boxes": boxes}


def test_resizing_takes_the_boxes_along():
    out = ResizeShortestSide([30])(_sample())
    assert out["image"].shape == (3, 30, 40)
    torch.testing.assert_close(torch.Tensor(out["boxes"]), torch.tensor([[4.0, 3, 20, 15]]))


def test_crops_stay_within_the_image_and_take_the_boxes_along():
    for _ in range(30):
        out = RandomSizeCrop(20, 50)(_sample())
        height, width = out["image"].shape[-2:]
        assert 20 <= height <= 50
        assert 20 <= width <= 50
        assert out["boxes"].canvas_size == (height, width)
    assert RandomSizeCrop(500, 600)(_sample())["image"].shape == (3, 60, 80)  # smaller than the window


def test_the_recipe_gives_valid_targets(shapes):
    dataset = CocoDataset("train.json", "train", data_root=str(shapes), transforms=[
        dict(type="RandomHorizontalFlip", p=0.5),
        dict(type="RandomChoice", pipelines=[
            [dict(type="ResizeShortestSide", sizes=[48, 64])],
            [dict(type="ResizeShortestSide", sizes=80), dict(type="RandomSizeCrop", min_size=9, max_size=30)],
        ]),
    ])  # fmt: skip
    for i in range(len(dataset)):
        sample = dataset[i]
        boxes = box_convert(sample.target.boxes, "cxcywh", "xyxy")
        assert len(sample.target.labels) == len(boxes)
        assert (sample.target.boxes[:, 2:] > 0).all()
        assert ((boxes >= -1e-6) & (boxes <= 1 + 1e-6)).all()
        assert sample.target.size == tuple(sample.image.shape[-2:])


def test_collate_pads_right_and_below(shapes):
    dataset = CocoDataset("train.json", "train", data_root=str(shapes), transforms=[
        dict(type="RandomSizeCrop", min_size=30, max_size=60)
    ])  # fmt: skip
    samples = [dataset[i] for i in range(4)]
    batch = pad_collate(samples)
    normalised = normalize_batch(batch)
    for i, sample in enumerate(samples):
        h, w = sample.image.shape[-2:]
        assert torch.equal(batch.images[i, :, :h, :w], sample.image)
        assert batch.padding_mask[i].sum() == batch.padding_mask[i].numel() - h * w
        assert not batch.padding_mask[i, :h, :w].any()
        assert normalised.images[i, :, h:].abs().sum() == 0  # exactly zero, not (0 − mean) / std
    assert drop_mask_without_padding(batch) is batch.padding_mask
    assert drop_mask_without_padding(pad_collate(samples[:1])) is None


def test_batches_keep_portrait_and_landscape_apart():
    class Shapes:
        aspect_ratios = np.array([1.5, 0.5] * 10 + [2.0])

        def __len__(self):
            return len(self.aspect_ratios)

    class Sampler(SequentialSampler):
        dataset = Shapes()

    batches = list(AspectRatioBatchSampler(Sampler(Shapes()), batch_size=4))
    assert sorted(i for b in batches for i in b) == list(range(21))
    assert len(batches) == len(AspectRatioBatchSampler(Sampler(Shapes()), batch_size=4)) == math.ceil(21 / 4)
    whole = list(AspectRatioBatchSampler(Sampler(Shapes()), batch_size=4, drop_last=True))
    assert len(whole) == len(AspectRatioBatchSampler(Sampler(Shapes()), 4, drop_last=True)) == 5
    mixed = [b for b in batches if len({Shapes.aspect_ratios[i] < 1 for i in b}) == 2]
    assert len(mixed) <= 1  # only what is left over at the end


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
