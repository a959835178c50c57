"""An image gets the same detections alone, among others of any size, and in any order."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detr_kit.data.normalize import normalize_batch
from detr_kit.data.shapes import SHAPES
from detr_kit.engine import evaluate
from detr_kit.engine.trainable_detector import groups_of_one_size
from detr_kit.errors import InputError
from detr_kit.inference.batch_size import automatic_batch_size
from detr_kit.pixel_scale import pixel_scale_of
from detr_kit.structures import ImageBatch, Target

from ..small_models import random_images


def _assert_same(found, expected):
    """Every detection has one of the same class, score and box (1e-4 of the image's sides)."""
    assert len(found) == len(expected)
    height, width = expected.image.shape[:2]
    side = torch.tensor([width, height, width, height])
    rows = [torch.cat((d.labels[:, None], d.scores[:, None], d.boxes / side), 1) for d in (found, expected)]
    distance = (rows[0][:, None] - rows[1][None]).abs().amax(-1)
    assert distance.amin(0).max() < 1e-4
    assert distance.amin(1).max() < 1e-4


@pytest.fixture(scope="module", params=range(3))
def alone(request, small_detector):
    """A seed, its images, and what is found in each by itself."""
    images = random_images(request.param)
    return request.param, images, [small_detector(image, score_threshold=0) for image in images]


@pytest.mark.parametrize("batch_size", [None, 2, 7])
def test_company_and_order_change_nothing(small_detector, alone, batch_size):
    seed, images, expected = alone
    order = np.random.default_rng(seed).permutation(len(images))
    together = small_detector([images[i] for i in order], score_threshold=0, batch_size=batch_size)
    streamed = small_detector.stream((images[i] for i in order), score_threshold=0, batch_size=batch_size)
    for index, in_list, in_stream in zip(order, together, streamed, strict=True):
        _assert_same(in_list, expected[index])
        _assert_same(in_stream, expected[index])


def test_padding_would_change_detections(small_detector):
    """Why nothing is padded: this is what the networks give where a mask is all that tells padding apart."""
    image = torch.from_numpy(random_images(0)[0]).permute(2, 0, 1)
    height, width = image.shape[1:]
    pixels = torch.zeros(1, 3, height + 40, width + 40, dtype=torch.uint8)
    pixels[0, :, :height, :width] = image
    mask = torch.ones(1, height + 40, width + 40, dtype=torch.bool)
    mask[0, :height, :width] = False
    batch = normalize_batch(ImageBatch(pixels, mask), pixel_scale_of(small_detector.network))
    with torch.inference_mode():
        padded = small_detector.network(batch.images, mask)
        alone = small_detector.network(batch.images[..., :height, :width], None)
    assert (padded.boxes - alone.boxes).abs().max() > 1e-3


def _write_coco(folder: Path) -> None:
    images = random_images(7)
    (folder / "images").mkdir()
    rows = []
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        rows.append(dict(id=index + 1, file_name=f"{index}.png", height=image.shape[0], width=image.shape[1]))
    box = dict(category_id=1, bbox=[5, 5, 20, 20], area=400, iscrowd=0)
    annotations = [dict(box, id=row["id"], image_id=row["id"]) for row in rows]
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(SHAPES)]
    data = dict(images=rows, annotations=annotations, categories=categories)
    (folder / "test.json").write_text(json.dumps(data))


def test_evaluation_writes_the_same_json_whatever_the_batch(small_model, tmp_path):
    _write_coco(tmp_path)
    written = []
    for batch_size in (1, 4):
        out = tmp_path / f"{batch_size}.json"
        options = {
            "data_root": str(tmp_path),
            "test_dataloader.batch_size": batch_size,
            "test_dataloader.dataset.annotations": "test.json",
            "test_dataloader.dataset.images": "images",
        }
        evaluate(*small_model, out=out, work_dir=tmp_path / "run", options=options)
        written.append(json.loads(out.read_text()))
    assert len(written[0]) > 0
    assert written[0] == written[1]


def test_a_batch_that_does_not_fit_is_halved(small_detector, monkeypatch):
    sizes = []
    predict_batch = small_detector.predict_batch

    def small_memory(pixels, original_sizes):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError
        return predict_batch(pixels, original_sizes)

    monkeypatch.setattr(small_detector, "predict_batch", small_memory)
    images = [np.full((40, 40, 3), i, np.uint8) for i in range(5)]
    assert len(small_detector(images, batch_size=5)) == 5
    assert sizes == [5, 2, 2, 1]


@pytest.mark.parametrize(("free", "expected"), [(0, 1), (24 * 2**30, 8), (2**40, 32)])
def test_the_automatic_batch_grows_with_free_memory(monkeypatch, free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    assert automatic_batch_size(800, 1333, torch.device("cuda")) == expected
    assert automatic_batch_size(800, 1333, torch.device("cpu")) == 1


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_has_an_image(small_detector, batch_size):
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(InputError, match=f"batch_size={batch_size}; it must be 1 or more"):
        small_detector(image, batch_size=batch_size)
    with pytest.raises(InputError, match=f"batch_size={batch_size}"):
        next(small_detector.stream(image, batch_size=batch_size))


def test_a_gpu_runs_images_of_one_size_together():
    sizes = [(3, 5), (5, 3), (3, 5)]
    targets = [Target(torch.empty(0), torch.empty(0, 4), size, size) for size in sizes]
    images, mask = torch.empty(3, 3, 5, 5), torch.zeros(3, 5, 5, dtype=torch.bool)
    on_gpu = groups_of_one_size(ImageBatch(images.to("meta"), mask, targets))
    assert on_gpu == [((3, 5), [0, 2]), ((5, 3), [1])]
    on_cpu = groups_of_one_size(ImageBatch(images, mask, targets))
    assert on_cpu == [((3, 5), [0]), ((5, 3), [1]), ((3, 5), [2])]
