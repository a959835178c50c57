"""Images are resized and cropped as in the papers, and boxes stay on their objects."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.ops import box_convert

from detr_kit.data import (
    CocoDataset,
    RandomSizeCrop,
    ResizeShortestSide,
)
from detr_kit.data.epoch import at_epoch, current_epoch
from detr_kit.data.transforms import shortest_side_size
from detr_kit.registry import TRANSFORMS, build


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


def test_large_scale_jitter_keeps_boxes_on_their_objects(tmp_path):
    """A white square on black, scaled by 0.1 to 2 and cropped or padded: boxes stay around what is white."""

    pixels = np.zeros((80, 100, 3), np.uint8)
    pixels[20:50, 30:70] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [30, 20, 40, 30]}],
        "categories": [{"id": 1, "name": "square"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    jitter = [
        dict(type="ScaleJitter", target_size=(96, 96), scale_range=(0.1, 2.0)),
        dict(type="RandomCrop", size=(96, 96), pad_if_needed=True),
    ]
    dataset = CocoDataset("a.json", "", transforms=jitter, data_root=str(tmp_path))
    sizes = set()
    for _ in range(40):
        sample = dataset[0]
        assert sample.image.shape == (3, 96, 96)
        white = (sample.image[0] > 127).nonzero()
        if len(white) < 9 or not len(sample.target.boxes):
            continue
        x, y, w, h = (sample.target.boxes[0] * 96).tolist()
        wanted = [white[:, 1].min(), white[:, 0].min(), white[:, 1].max() + 1, white[:, 0].max() + 1]
        for got, want in zip((x - w / 2, y - h / 2, x + w / 2, y + h / 2), wanted, strict=True):
            assert abs(got - float(want)) <= 1.5
        sizes.add(round(w))
    assert len(sizes) > 8


class TestUntilEpoch:
    @staticmethod
    def flipped(epoch):
        transform = build(
            dict(type="UntilEpoch", epoch=3, transforms=[dict(type="RandomHorizontalFlip", p=1.0)]),
            TRANSFORMS,
        )
        image = torch.arange(4).view(1, 1, 4).expand(3, -1, -1)
        with at_epoch(epoch):
            return transform({"image": tv_tensors.Image(image)})["image"][0, 0].tolist() == [3, 2, 1, 0]

    def test_transforms_end_with_the_epoch(self):
        assert [self.flipped(epoch) for epoch in (0, 2, 3, 9)] == [True, True, False, False]

    def test_an_epoch_is_forgotten_afterwards(self):
        with at_epoch(5):
            assert current_epoch() == 5
        assert current_epoch() == 0
