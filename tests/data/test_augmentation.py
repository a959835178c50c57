"""Boxes stay on their objects: shapes of pure colours are drawn, transformed, and looked for again."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from detr_kit.data import AspectRatioBatchSampler, CocoDataset, Draw, EpochSampler, pad_collate
from detr_kit.data.augmentation.scene import Scene
from detr_kit.data.partners import draw_partner, partners_from
from detr_kit.data.seeding import seeded
from detr_kit.errors import InputError
from detr_kit.registry import TRANSFORMS, build

COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]])  # of the labels
TOLERANCE = 2.0  # pixels: what resampling blurs, and the tip of a turned rectangle


def picture(label, shape, size=(120, 160)):
    """An object of a colour on black, each label at a place of its own, as a sample for transforms."""
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    column, row = label % 3, label // 3
    box = [8 + 50 * column, 12 + 55 * row, 8 + 50 * column + 36, 12 + 55 * row + 28 + 10 * (column % 2)]
    colour = tuple(int(255 * c) for c in COLOURS[label])
    if shape == "ellipse":
        centre = ((box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - 0.5)
        sides = ((box[2] - box[0]), (box[3] - box[1]))
        cv2.ellipse(pixels, (centre, sides, 0), colour, -1)
    else:
        pixels[box[1] : box[3], box[0] : box[2]] = colour
    return {
        "image": tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1)),
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor([box], dtype=torch.float32), format="XYXY", canvas_size=size
        ),
        "labels": torch.tensor([label]),
    }


def seen(sample, label, threshold=127):
    """(H, W) bool: the pixels of a label's colour."""
    pattern = sample["image"].permute(1, 2, 0).numpy() > threshold
    return (pattern == COLOURS[label].astype(bool)).all(-1)


def extent(mask):
    """xyxy of what is set."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=float)


def assert_tight(sample, box, mask):
    """What is set in and near the box ends where the box ends."""
    height, width = mask.shape
    x0, y0, x1, y1 = (round(v) for v in box)
    near = np.zeros_like(mask)
    near[max(y0 - 3, 0) : min(y1 + 3, height), max(x0 - 3, 0) : min(x1 + 3, width)] = True
    assert (mask & near).any(), (box, "nothing there")
    assert np.abs(extent(mask & near) - np.array(box)).max() <= TOLERANCE, (box, extent(mask & near))


def applied(transform, shape, seed):
    """A picture of one of six, transformed; its partners are of the six."""
    with seeded(seed), partners_from(lambda: picture(int(torch.randint(6, ())), shape)):
        return transform(picture(int(torch.randint(6, ())), shape))


MOVING = {
    "horizontal flip": dict(type="RandomHorizontalFlip", p=0.5),
    "vertical flip": dict(type="RandomVerticalFlip", p=0.5),
    "quarter turn": dict(type="RandomQuarterTurn"),
    "zoom-out": dict(type="RandomZoomOut", fill=0, p=0.8),
    "large-scale jitter": dict(type="LargeScaleJitter", size=150, scale=(0.4, 2.0), fill=0, min_visible=0),
    "mosaic": dict(type="Mosaic", size=200, scale=(0.4, 1.2), fill=0, min_visible=0),
    "dense mosaic": dict(type="Mosaic", size=200, scale=(0.5, 0.5), centre=(0.5, 0.5), fill=0, min_visible=0),
    "scale and shift": dict(type="RandomWarp", scale=(0.6, 1.7), translate=0.3, fill=0, min_visible=0),
}
TURNING = {
    "rotation": dict(type="RandomWarp", degrees=180, fill=0, min_visible=0),
    "shear": dict(type="RandomWarp", shear=20, fill=0, min_visible=0),
    "perspective": dict(type="RandomWarp", perspective=0.3, fill=0, min_visible=0),
    "all at once": dict(
        type="RandomWarp",
        degrees=30,
        shear=10,
        perspective=0.15,
        translate=0.2,
        scale=(0.8, 1.6),
        fill=0,
        min_visible=0,
    ),
}


class TestBoxesStayOnTheirObjects:
    @pytest.mark.parametrize(
        ("name", "shape"),
        [(name, "rectangle") for name in (*MOVING, *TURNING)] + [(name, "ellipse") for name in TURNING],
    )
    def test_each_box_ends_where_its_object_ends_and_no_object_is_without(self, name, shape):
        config = MOVING.get(name) or {
            **TURNING[name],
            "outline": "corners" if shape == "rectangle" else "ellipse",
        }
        transform, found = build(config, TRANSFORMS), 0
        for seed in range(40):
            sample = applied(transform, shape, seed)
            height, width = sample["image"].shape[-2:]
            assert sample["boxes"].canvas_size == (height, width)
            boxes = sample["boxes"].tolist()
            for box, label in zip(boxes, sample["labels"].tolist(), strict=True):
                inside = min(box[:2]) > 2 and box[2] < width - 2 and box[3] < height - 2
                if min(box[2] - box[0], box[3] - box[1]) < 5 or (name in TURNING and not inside):
                    continue  # a sliver; what a turned shape shows at an edge is less than its outline there
                assert_tight(sample, box, seen(sample, label))
                found += 1
            for label in range(6):
                left = seen(sample, label)
                for box, owner in zip(boxes, sample["labels"].tolist(), strict=True):
                    if owner == label:
                        x0, y0, x1, y1 = box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2
                        left[max(int(y0), 0) : int(np.ceil(y1)), max(int(x0), 0) : int(np.ceil(x1))] = False
                assert left.sum() <= 2 * 40, (seed, label)  # a strip thinner than a pixel's box
        assert found >= 10

    def test_both_pictures_of_a_mix_up(self):
        transform, double = build(dict(type="MixUp", fill=0), TRANSFORMS), 0
        for seed in range(25):
            sample = applied(transform, "rectangle", seed)
            assert len(sample["boxes"]) == 2
            for box, label in zip(sample["boxes"].tolist(), sample["labels"].tolist(), strict=True):
                assert_tight(sample, box, seen(sample, label, threshold=60))
            double += len(set(sample["labels"].tolist())) == 2
        assert double > 10

    def test_a_mix_up_of_mosaics_draws_their_partners_too(self):
        mosaic = dict(type="Mosaic", size=160, scale=(0.5, 0.5), centre=(0.5, 0.5))
        transform = build([mosaic, dict(type="MixUp", transforms=[mosaic])], TRANSFORMS)
        with seeded(0), partners_from(lambda: picture(int(torch.randint(6, ())), "rectangle")):
            sample = transform[1](transform[0](picture(0, "rectangle")))
        assert len(sample["boxes"]) == 8

    def test_pasted_objects_and_those_that_they_hide(self):
        transform, pasted = build(dict(type="CopyPaste", margin=0, min_visible=0.9), TRANSFORMS), 0
        hidden = 0
        for seed in range(60):
            with seeded(seed), partners_from(lambda: picture(1, "rectangle")):
                sample = transform(picture(0, "rectangle"))
            labels = sample["labels"].tolist()
            assert labels in ([0, 1], [1])
            assert_tight(sample, sample["boxes"][-1].tolist(), seen(sample, 1))
            share = seen(sample, 0).sum() / seen(picture(0, "rectangle"), 0).sum()
            assert (share >= 0.9) == (0 in labels)
            pasted, hidden = pasted + 1, hidden + (0 not in labels)
        assert hidden > 3

    def test_objects_behind_a_hole_are_dropped(self):
        transform = build(dict(type="CutOut", size=(0.1, 0.4), min_visible=0.5, fill=0), TRANSFORMS)
        kept = []
        for seed in range(60):
            sample = applied(transform, "rectangle", seed)
            with seeded(seed):  # which picture it was: the first number that was drawn
                label = int(torch.randint(6, ()))
            share = seen(sample, label).sum() / seen(picture(label, "rectangle"), label).sum()
            assert len(sample["boxes"]) == (share >= 0.5)
            kept.append(len(sample["boxes"]))
        assert 0 < sum(kept) < 60

    def test_colours_change_and_boxes_do_not(self):
        before = picture(3, "rectangle")
        with seeded(0):
            after = build(dict(type="HSVJitter", hue=0.2), TRANSFORMS)(before)
        assert torch.equal(after["boxes"], before["boxes"])
        assert not torch.equal(after["image"], before["image"])


class TestVisibleArea:
    def test_boxes_are_cut_and_dropped_by_the_share_that_is_left(self):
        boxes = torch.tensor([[-10.0, 0, 30, 10], [-30, 0, 10, 10], [5, 5, 15, 15], [99.5, 0, 140, 10]])
        scene = Scene(np.zeros((50, 100, 3), np.uint8), boxes, torch.arange(4))
        left = scene.clipped((0, 0, 100, 50), 0.3)
        assert left.labels.tolist() == [0, 2]  # of the second a quarter is left, of the last half a pixel
        assert left.boxes.tolist() == [[0, 0, 30, 10], [5, 5, 15, 15]]
        assert scene.clipped((0, 0, 100, 50), 0.0).labels.tolist() == [0, 1, 2]

    def test_a_warp_without_boxes(self):
        sample = picture(0, "rectangle")
        sample["boxes"] = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(120, 160))
        sample["labels"] = torch.zeros(0, dtype=torch.int64)
        assert build(dict(type="RandomWarp", degrees=20), TRANSFORMS)(sample)["boxes"].shape == (0, 4)

    @pytest.mark.parametrize(("options", "message"), [
        (dict(outline="round"), "outline='round'; it must be one of ellipse, corners"),
        (dict(perspective=0.5), r"perspective=0.5; it must be in \[0, 0.5\)"),
    ])  # fmt: skip
    def test_mistakes(self, options, message):
        with pytest.raises(InputError, match=message):
            build(dict(type="RandomWarp", **options), TRANSFORMS)

    def test_partners_need_a_data_set(self):
        with pytest.raises(InputError, match="give it to CocoDataset"):
            build(dict(type="Mosaic", size=64), TRANSFORMS)(picture(0, "rectangle"))


STRONG = [
    dict(type="UntilEpoch", epoch=2, transforms=[
        dict(type="Mosaic", size=64, p=0.7),
        dict(type="RandomWarp", degrees=20, scale=(0.7, 1.3), shear=5, translate=0.1, perspective=0.1),
        dict(type="MixUp", p=0.5),
        dict(type="CopyPaste", p=0.5),
        dict(type="CutOut", p=0.5),
        dict(type="HSVJitter"),
    ]),
    dict(type="RandomQuarterTurn"),
    dict(type="LargeScaleJitter", size=64, scale=(0.5, 1.5)),
]  # fmt: skip


class TestSeededByPosition:
    @pytest.fixture
    def dataset(self, shapes):
        return CocoDataset("train.json", "train", data_root=str(shapes), transforms=STRONG)

    @staticmethod
    def batches(dataset, workers, skip=0):
        sampler = AspectRatioBatchSampler(EpochSampler(dataset, seed=4), batch_size=5)
        sampler.skip = skip
        return list(DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=pad_collate))

    @staticmethod
    def assert_equal(some, others):
        assert len(some) == len(others)
        for a, b in zip(some, others, strict=True):
            assert torch.equal(a.images, b.images)
            for one, other in zip(a.targets, b.targets, strict=True):
                assert torch.equal(one.boxes, other.boxes)
                assert torch.equal(one.labels, other.labels)

    def test_any_number_of_workers_and_a_run_that_goes_on_read_the_same(self, dataset):
        alone = self.batches(dataset, 0)
        self.assert_equal(alone, self.batches(dataset, 2))
        self.assert_equal(alone[3:], self.batches(dataset, 1, skip=3))

    def test_what_was_read_before_does_not_matter(self, dataset):
        first = dataset[Draw(3, 17, 0)]
        for index in range(4):
            dataset[Draw(index, 5 + index, 0)]
        assert torch.equal(first.image, dataset[Draw(3, 17, 0)].image)
        assert not torch.equal(first.image, dataset[Draw(3, 18, 0)].image)

    def test_strong_transforms_end_with_their_epoch(self, shapes):
        """A mosaic has objects of other pictures; from the stop epoch on there are a picture's own only."""
        strong = [dict(type="UntilEpoch", epoch=2, transforms=[dict(type="Mosaic", size=64)])]
        dataset = CocoDataset("train.json", "train", data_root=str(shapes), transforms=strong)
        plain = CocoDataset("train.json", "train", data_root=str(shapes))
        for epoch in (1, 2):
            is_plain = torch.equal(dataset[Draw(0, 3, epoch)].image, plain[0].image)
            assert is_plain == (epoch == 2)

    def test_targets_are_valid(self, dataset):
        for index in range(len(dataset)):
            sample = dataset[Draw(index, index, 0)]
            boxes = sample.target.boxes
            assert len(boxes) == len(sample.target.labels)
            assert sample.image.shape == (3, 64, 64)
            assert ((boxes >= 0) & (boxes <= 1)).all()
            assert (boxes[:, 2:] > 0).all()

    def test_a_partner_that_cannot_be_read_is_named(self, tmp_path):
        for name in ("a", "b"):
            Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / f"{name}.png")
        data = {
            "images": [{"id": n, "file_name": f"{name}.png", "width": 20, "height": 20}
                       for n, name in enumerate("ab")],
            "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [3, 3, 9, 9]}],
            "categories": [{"id": 1, "name": "x"}],
        }  # fmt: skip
        (tmp_path / "a.json").write_text(json.dumps(data))
        mixed = [dict(type="MixUp")]
        dataset = CocoDataset("a.json", "", data_root=str(tmp_path), transforms=mixed)
        skipping = CocoDataset("a.json", "", data_root=str(tmp_path), transforms=mixed, unreadable="skip")
        (tmp_path / "b.png").write_bytes(b"broken")
        samples = [skipping[Draw(0, seed)] for seed in range(20)]
        seed = next(seed for seed, sample in enumerate(samples) if sample.skipped)
        assert "b.png" in samples[seed].skipped[0]
        with pytest.raises(InputError, match=r"b\.png"):
            dataset[Draw(0, seed)]

    def test_partners_are_of_all_pictures(self, shapes):
        dataset = CocoDataset("train.json", "train", data_root=str(shapes))
        seen_images = set()

        def look(sample):
            seen_images.add(int(draw_partner()["image"].sum()))
            return sample

        dataset.transforms = look
        for seed in range(150):
            dataset[Draw(0, seed)]
        assert len(seen_images) == len(dataset)


class TestAlbumentations:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("albumentations")

    def test_boxes_go_along_and_seeds_are_by_position(self):
        config = dict(Affine=dict(scale=(0.7, 1.3), translate_percent=0.2, p=1.0), MotionBlur=dict(p=0.3))
        transform = build(dict(type="Albumentations", transforms=config, min_visible=0.0), TRANSFORMS)
        images, found = [], 0
        for seed in (*range(20), 0):
            sample = applied(transform, "rectangle", seed)
            images.append(sample["image"])
            assert sample["boxes"].canvas_size == (120, 160)
            for box, label in zip(sample["boxes"].tolist(), sample["labels"].tolist(), strict=True):
                assert np.abs(extent(seen(sample, label)) - np.array(box)).max() <= 4  # blurred ones too
                found += 1
        assert found > 15
        assert torch.equal(images[0], images[-1])
        assert not torch.equal(images[0], images[1])

    def test_objects_that_leave_the_picture_take_their_labels_along(self):
        away = dict(Crop=dict(x_min=0, y_min=0, x_max=50, y_max=120, p=1.0))
        sample = applied(build(dict(type="Albumentations", transforms=away), TRANSFORMS), "rectangle", 0)
        assert len(sample["boxes"]) == len(sample["labels"])
        assert sample["labels"].dtype == torch.int64

    @pytest.mark.parametrize(("transforms", "message"), [
        (dict(MotionBlurr={}), "it has no transform 'MotionBlurr'"),
        (dict(Compose={}), "it has no transform 'Compose'"),
        (dict(Crop=dict(x_min=5, x_max=2)), "Crop: "),
    ])  # fmt: skip
    def test_mistakes(self, transforms, message):
        with pytest.raises(InputError, match=message):
            build(dict(type="Albumentations", transforms=transforms), TRANSFORMS)
