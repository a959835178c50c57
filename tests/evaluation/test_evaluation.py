"""The COCO metric gives pycocotools' published figures, and its inputs are ours."""

import json

import pytest
import torch

from detr_kit.categories import COCO_80, COCO_91, Categories
from detr_kit.errors import InputError
from detr_kit.evaluation import CocoResult, evaluate_detections, to_coco_detections
from detr_kit.structures import Prediction

PUBLISHED = {
    "AP": 0.504581, "AP50": 0.696973, "AP75": 0.572982, "APs": 0.585626, "APm": 0.519400, "APl": 0.501398,
    "AR1": 0.386813, "AR10": 0.593680, "AR100": 0.595353, "ARs": 0.639811, "ARm": 0.566421, "ARl": 0.564291,
}  # fmt: skip


def test_the_twelve_figures_of_the_coco_api(shared):
    folder = shared / "data" / "coco_eval"
    detections = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    result = evaluate_detections(folder / "instances_val2014_100.json", detections)
    assert result.figures == pytest.approx(PUBLISHED, abs=1e-6)
    assert result.per_class["person"]["boxes"] > 100
    assert "person" in result.table()
    assert "0.505" in result.table()  # a fraction, as in the log
    assert result.max_detections == 100  # COCO's own: no picture has more objects


def _ground_truth(tmp_path):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({  # neither area, nor iscrowd, nor info: pycocotools alone would fail
        "images": [{"id": 1, "file_name": "a", "width": 100, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 4, "bbox": [10, 20, 30, 40]}],
        "categories": [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}],
    }))  # fmt: skip
    return path


CATEGORIES = Categories(("cat", "dog"), (4, 9))


def test_a_perfect_detection_scores_one(tmp_path):
    prediction = Prediction(torch.tensor([0.9]), torch.tensor([0]), torch.tensor([[10.0, 20, 40, 60]]))
    detections = to_coco_detections(prediction, 1, CATEGORIES)
    assert detections[0]["category_id"] == 4
    assert detections[0]["bbox"] == [10, 20, 30, 40]
    result = evaluate_detections(_ground_truth(tmp_path), detections)
    assert result.figures["AP"] == pytest.approx(1)
    assert result.figures["APs"] == -1  # there is no small object to find
    assert result.per_class["dog"]["AP"] == -1
    assert "APs" not in result.measured
    assert result.measured["AP"] == result.figures["AP"]


@pytest.mark.parametrize(("objects", "name"), [(100, "AR100"), (160, "AR240")])
def test_perfect_detections_of_a_crowded_picture_score_one(tmp_path, objects, name):
    """COCO's 100 detections a picture and class leave 60 of 160 objects out: AP 0.62 at best."""
    boxes = [[20 * (n % 20), 20 * (n // 20), 15, 15] for n in range(objects)]
    (tmp_path / "crowded.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a", "width": 400, "height": 200}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 4, "bbox": b} for n, b in enumerate(boxes)],
        "categories": [{"id": 4, "name": "cat"}],
    }))  # fmt: skip
    detections = [{"image_id": 1, "category_id": 4, "bbox": box, "score": 0.9} for box in boxes]
    figures = evaluate_detections(tmp_path / "crowded.json", detections).figures
    assert figures["AP"] == pytest.approx(1)
    assert figures[name] == pytest.approx(1)
    assert len(figures) == 12


def test_names_of_classes_are_printed_as_they_are():
    result = CocoResult({"AP": 0.5}, {"light[red]": {"AP": 0.5, "AP50": -1.0, "boxes": 3.0}})
    assert "light[red]" in result.table()


def test_no_detection_at_all_scores_zero(tmp_path):
    assert evaluate_detections(_ground_truth(tmp_path), []).figures["AP"] == 0


def test_detections_of_another_split_are_refused(tmp_path):
    stray = [{"image_id": 2, "category_id": 4, "bbox": [0, 0, 1, 1], "score": 1.0}]
    with pytest.raises(InputError, match="image_id=2 is not in the ground truth"):
        evaluate_detections(_ground_truth(tmp_path), stray)


def test_labels_without_a_category_are_left_out():
    prediction = Prediction(torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), torch.zeros(2, 4))
    assert [d["category_id"] for d in to_coco_detections(prediction, 1, COCO_91)] == [1]


def test_the_two_numberings_of_coco():
    assert (len(COCO_80), len(COCO_91)) == (80, 91)
    assert COCO_91.names[1] == COCO_80.names[0] == "person"
    assert COCO_91.names[90] == COCO_80.names[79] == "toothbrush"
    assert COCO_80.ids[79] == 90
    assert len(COCO_91.label_of_id) == 80
    assert Categories.from_metadata(COCO_80.to_metadata()) == COCO_80
    assert Categories.from_metadata({}) is None


def test_nan_boxes_are_not_scored(tmp_path):
    nan = float("nan")
    prediction = Prediction(
        torch.tensor([nan, 0.5]), torch.tensor([0, 0]), torch.tensor([[nan] * 4, [0, 0, 5, 5]])
    )
    detections = to_coco_detections(prediction, 1, Categories(("a",), (1,)))
    assert [d["score"] for d in detections] == [0.5]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(_one_box(1)))
    with pytest.raises(InputError, match="not finite"):
        evaluate_detections(path, [{"image_id": 1, "category_id": 1, "bbox": [nan] * 4, "score": nan}])


def _one_box(*ids, **fields):
    boxes = [[10, 10, 30, 30], [60, 60, 20, 20]]
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, **fields}
            for i, box in zip(ids, boxes, strict=False)
        ],
    }


@pytest.mark.parametrize("data", [
    _one_box(0), _one_box(1, 1), _one_box(1, iscrowd=None), _one_box(1, area=None),
], ids=["id 0", "repeated id", "iscrowd null", "area null"])  # fmt: skip
def test_annotation_ids_do_not_change_ap(data, tmp_path):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(data))
    detections = [
        {"image_id": 1, "category_id": 1, "bbox": a["bbox"], "score": 0.9} for a in data["annotations"]
    ]
    assert evaluate_detections(path, detections).figures["AP"] == pytest.approx(1)
