"""Errors of one kind are named as that kind, and the advice is about it."""

import json

import numpy as np
import pytest

from detr_kit.cli import main
from detr_kit.evaluation import DetectionTable, evaluate_detections
from detr_kit.evaluation.lost_ap import lost_ap

from ..places import TINY

pytest.importorskip("hotcoco")
BOXES = [[10.0, 10, 40, 40], [80, 10, 30, 40], [10, 60, 36, 30]]  # of each image: classes 1, 2, 1
KINDS = ("classification", "localisation", "both", "duplicates", "background", "missed")


@pytest.fixture
def annotations(tmp_path):
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 120, "height": 100} for i in range(4)],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [
            {"id": 3 * i + k + 1, "image_id": i, "category_id": 1 + k % 2, "bbox": box, "iscrowd": 0}
            for i in range(4)
            for k, box in enumerate(BOXES)
        ],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(data))
    return path


def detections(kind):
    """Perfect ones, all with one kind of error in image 0 and the most certain there."""
    rows = [
        [i, 1 + k % 2, box, 0.9 - 0.01 * k] for i in range(4) for k, box in enumerate(BOXES)
    ]  # fmt: skip
    x, y, w, h = BOXES[0]
    if kind == "missed":
        rows = rows[1:]
    elif kind == "duplicates":
        rows += [[i, 1, [x + 1, y, w, h], 0.95] for i in range(4)]
    elif kind == "background":
        rows += [[i, 1, [100, 70, 15, 15], 0.95] for i in range(4)]
    elif kind == "classification":
        rows[0][1] = 2
        rows[0][3] = 0.99
    elif kind == "localisation":
        rows[0][2], rows[0][3] = [x + 24, y, w, h], 0.99
    elif kind == "both":
        rows[0][1], rows[0][2], rows[0][3] = 2, [x + 24, y, w, h], 0.99
    results = [dict(image_id=i, category_id=c, bbox=b, score=s) for i, c, b, s in rows]
    return DetectionTable.of_coco(results)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_is_the_worst_and_advised_on(annotations, kind):
    found = lost_ap(annotations, detections(kind), range(4))
    assert found.worst == kind
    assert found.counts[kind] > 0
    # An object that is only touched by a box of another class is missed as well.
    expected = {kind, "missed"} if kind == "both" else {kind}
    assert {other for other in KINDS if found.lost[other] >= 0.01} == expected
    assert found.advice().startswith(f"most is lost to {kind} (")
    assert list(found.lost) == list(KINDS)
    first_row = next(line for line in found.table().splitlines() if line.startswith("│"))
    assert kind in first_row


def test_perfect_detections_lose_nothing(annotations):
    found = lost_ap(annotations, detections("none"), range(4))
    assert found.worst is None
    assert found.ap50 == pytest.approx(1.0)
    assert "no kind of error costs a hundredth" in found.advice()


def test_ap50_is_the_metrics(annotations):
    for kind in KINDS:
        table = detections(kind)
        figures = evaluate_detections(annotations, table).figures
        assert lost_ap(annotations, table, range(4)).ap50 == pytest.approx(figures["AP50"], abs=1e-6)


def test_without_detections_there_is_nothing_to_say(annotations):
    nothing = DetectionTable.of_coco([])
    assert len(nothing) == 0
    assert lost_ap(annotations, nothing, range(4)) is None


def test_the_command_says_it_beside_its_pictures(trained, shapes, tmp_path, capsys):
    arguments = ["test", str(TINY), str(trained[0] / "epoch_2.pth"), "--pictures", str(tmp_path / "errors")]
    assert main([*arguments, "--work-dir", str(tmp_path), "--cfg-options", f"data_root={shapes}"]) == 0
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "what AP50 = " in log
    assert "Try next: " in log or "no kind of error" in log
    assert np.all([kind in log for kind in KINDS])
