"""hotcoco and pycocotools give the same arrays to the bit, and both what pycocotools gives untouched."""

import contextlib
import copy
import io
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detr_kit.cli import main
from detr_kit.engine import CocoMetric
from detr_kit.errors import InputError
from detr_kit.evaluation import DetectionTable, evaluate_detections, metric_backend_for
from detr_kit.evaluation.coco_evaluation import numbered
from detr_kit.evaluation.metric_backend import curves

from ..places import TINY

CATEGORIES = (3, 5, 90)
INT64 = st.integers(-(2**63), 2**63 - 1)
# Few places and sizes: boxes meet, IoUs and scores are equal, areas lie on COCO's limits 32² and 96².
place = st.sampled_from([0, 4, 8, 40.5])
size = st.sampled_from([0.5, 16, 30, 32, 96, 100])
box = st.tuples(place, place, size, size).map(list)
category = st.sampled_from(CATEGORIES)
ground_truth = st.fixed_dictionaries({
    "category_id": category, "bbox": box, "iscrowd": st.sampled_from([0, 0, 0, 1]),
    "area": st.sampled_from([20.0, 1024, 1024.5, 9216, 1e6]),
})  # fmt: skip
found = st.fixed_dictionaries({
    "category_id": st.sampled_from([*CATEGORIES, 77]),  # 77 is not in the ground truth
    "bbox": box, "score": st.sampled_from([0.0, -0.0, 1e-300, 0.25, 0.5, 1.0]),
})  # fmt: skip
images = st.dictionaries(
    INT64, st.tuples(st.lists(ground_truth, max_size=8), st.lists(found, max_size=12)), max_size=4
)


def _truth(rows, image_ids):
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": image_id} for image_id in image_ids],
        "categories": [{"id": category, "name": f"class {category}"} for category in CATEGORIES],
        "annotations": [{**row, "id": number} for number, row in enumerate(rows, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _rows(images, part):
    return [{**row, "image_id": image_id} for image_id, rows in images.items() for row in rows[part]]


def _untouched(coco, detections, image_ids, max_detections):
    """pycocotools as its own demonstration calls it."""
    with contextlib.redirect_stdout(io.StringIO()):
        results = coco.loadRes(copy.deepcopy(detections)) if detections else _truth([], image_ids)
        metric = COCOeval(coco, results, "bbox")
        metric.params.imgIds = image_ids
        metric.params.maxDets = max_detections
        metric.evaluate()
        metric.accumulate()
    return metric.eval


def _hold_to_pycocotools(coco, detections, image_ids):
    evaluation = numbered(coco, DetectionTable.of_coco(detections), set(image_ids))
    wanted = _untouched(coco, detections, image_ids, evaluation.max_detections)
    for backend in ("hotcoco", "pycocotools"):
        precision, recall = curves(evaluation, backend)
        np.testing.assert_array_equal(precision, wanted["precision"], strict=True)
        np.testing.assert_array_equal(recall, wanted["recall"], strict=True)


@given(images, st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_random_sets(images, data):
    """Crowds, ties, empty images, images without detections, strange ids, classes that are not there."""
    evaluated = data.draw(st.sets(st.sampled_from(list(images)))) if images else set()
    coco, detections = _truth(_rows(images, 0), images), _rows(images, 1)
    _hold_to_pycocotools(coco, data.draw(st.permutations(detections)), sorted(evaluated))


@pytest.mark.parametrize("steps", [3, 10**6], ids=["tied scores", "scores all different"])
@pytest.mark.parametrize("objects", [12, 130])
def test_more_detections_than_are_looked_at(objects, steps):
    rng = np.random.default_rng(objects)
    images = {}
    for image_id in range(3):
        boxes = np.concatenate((rng.uniform(0, 500, (objects, 2)), rng.uniform(5, 150, (objects, 2))), 1)
        truth = [
            {"category_id": 3, "bbox": b, "area": b[2] * b[3], "iscrowd": int(rng.random() < 0.1)}
            for b in boxes.tolist()
        ]
        near = boxes[rng.integers(0, objects, 400)] + rng.normal(0, 3, (400, 4)).round()
        near[:, 2:] = near[:, 2:].clip(1)
        scores = (rng.integers(0, steps, 400) / steps).tolist()
        detections = [
            {"category_id": int(rng.choice(CATEGORIES, p=[0.8, 0.1, 0.1])), "bbox": b, "score": s}
            for b, s in zip(near.tolist(), scores, strict=True)
        ]
        images[image_id] = (truth, detections)
    _hold_to_pycocotools(_truth(_rows(images, 0), images), _rows(images, 1), [0, 1, 2])


def test_the_detections_of_the_coco_api(shared):
    """All twelve figures and every class of real ground truth; the figures themselves: test_evaluation.py."""
    folder = shared / "data" / "coco_eval"
    detections = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / "instances_val2014_100.json")
    _hold_to_pycocotools(coco, detections, sorted(coco.getImgIds()))
    of = {b: evaluate_detections(coco, detections, metric_backend=b) for b in ("hotcoco", "pycocotools")}
    assert of["hotcoco"].figures == of["pycocotools"].figures
    assert of["hotcoco"].per_class == of["pycocotools"].per_class
    assert {name: result.backend for name, result in of.items()} == {name: name for name in of}


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_what_is_not_finite_is_refused(backend):
    """pycocotools takes NaN for a match with everything and sorts it anywhere; hotcoco refuses it."""
    coco = _truth([], [1])
    for detection in ({"bbox": [0, 0, 1, 1], "score": np.nan}, {"bbox": [0, np.inf, 1, 1], "score": 0.5}):
        with pytest.raises(InputError, match="not finite"):
            evaluate_detections(
                coco, [{**detection, "image_id": 1, "category_id": 3}], metric_backend=backend
            )


@pytest.mark.parametrize("image_id", ["a", 1.5, None, 2**70, np.float32(0.5)])
def test_ids_that_are_no_whole_numbers_are_refused(image_id):
    detections = [{"image_id": image_id, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 0.5}]
    with pytest.raises(InputError, match=r"image_id=.* is not a whole number"):
        evaluate_detections(_truth([], [1]), detections)


def test_the_backend_is_chosen_by_name(monkeypatch):
    assert metric_backend_for(None) == metric_backend_for("auto") == "hotcoco"
    assert metric_backend_for("pycocotools") == "pycocotools"
    with pytest.raises(
        InputError, match="metric_backend='coco': it must be one of auto, hotcoco, pycocotools"
    ):
        metric_backend_for("coco")
    monkeypatch.setitem(sys.modules, "hotcoco", None)  # as if it were not installed
    assert metric_backend_for("auto") == CocoMetric().metric_backend == "pycocotools"
    with pytest.raises(InputError, match="pip install hotcoco"):
        CocoMetric(metric_backend="hotcoco")


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_from_the_command_line(trained, shapes, tmp_path, capsys, backend):
    arguments = ["test", str(TINY), str(trained[0] / "epoch_2.pth"), "--work-dir", str(tmp_path)]
    arguments += ["--metric-backend", backend, "--cfg-options", f"data_root={shapes}"]
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert f"COCO bbox, by {backend}" in output.out + output.err
