"""The confusion matrix counts what a reader would count by hand, and its pictures show it."""

import json

import numpy as np
import pytest
from PIL import Image

from detr_kit.cli import main
from detr_kit.evaluation.confusion import confusion_of
from detr_kit.evaluation.error_pictures import draw_confusion, draw_worst_images

from ..places import TINY


def _write(folder):
    """Two images of 100 pixels: a cat and a dog on the first, a cat and a crowd of dogs on the second."""
    objects = [(1, 7, [10, 10, 20, 20], 0), (1, 3, [60, 60, 20, 20], 0), (2, 7, [10, 10, 20, 20], 0),
               (2, 3, [50, 50, 40, 40], 1)]  # fmt: skip
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 100} for i in (1, 2)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd}
            for n, (image, category, box, crowd) in enumerate(objects)
        ],
    }
    (folder / "a.json").write_text(json.dumps(data))
    for i in (1, 2):
        Image.fromarray(np.full((100, 100, 3), 90, np.uint8)).save(folder / f"{i}.png")
    return folder / "a.json"


def _detection(image, category, box, score=0.9):
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


DETECTIONS = [
    _detection(1, 7, [10, 10, 20, 20]),  # right
    _detection(1, 7, [61, 60, 20, 20]),  # the dog taken for a cat
    _detection(1, 3, [11, 11, 20, 20], 0.5),  # the cat once more
    _detection(1, 3, [60, 60, 20, 20], 0.1),  # below the threshold
    _detection(2, 3, [80, 0, 10, 10]),  # nothing there, and the cat missed
]


def test_counts(tmp_path):
    confusion = confusion_of(_write(tmp_path), DETECTIONS, [1, 2])
    assert confusion.names == ("dog", "cat")  # in the order of their ids
    wanted = [[0, 1, 0],  # the dog was taken for a cat
              [0, 1, 1],  # a cat was found, a cat was missed
              [2, 0, 0]]  # dogs where nothing is  # fmt: skip
    assert confusion.matrix.tolist() == wanted
    assert confusion.errors == {1: 2, 2: 2}
    assert [len(ious) for ious in confusion.ious.values()] == [2, 0]


@pytest.mark.parametrize("seed", range(3))
def test_rows_and_columns_add_up(seed, tmp_path):
    """Each object and each detection above the threshold is counted once."""
    rng = np.random.default_rng(seed)
    detections = [
        _detection(
            int(rng.integers(1, 3)), int(rng.choice([3, 7])), [*rng.uniform(0, 60, 2), 20, 20], rng.random()
        )
        for _ in range(30)
    ]
    matrix = confusion_of(_write(tmp_path), detections, [1, 2]).matrix
    assert matrix[:2].sum(1).tolist() == [1, 2]
    for column, category in enumerate((3, 7)):
        kept = [d for d in detections if d["category_id"] == category and d["score"] >= 0.3]
        assert matrix[:, column].sum() == len(kept)


def test_pictures(tmp_path):
    path = _write(tmp_path)
    confusion = confusion_of(path, DETECTIONS, [1, 2])
    draw_confusion(confusion, tmp_path / "matrix.png")
    assert len(np.unique(np.asarray(Image.open(tmp_path / "matrix.png")))) > 20
    paths = {i: str(tmp_path / f"{i}.png") for i in (1, 2)}
    assert draw_worst_images(confusion, path, DETECTIONS, paths, tmp_path / "worst.png") == 2
    title = 23
    assert Image.open(tmp_path / "worst.png").size == (2 * 486 + 6, 2 * (486 + title) + 6)
    perfect = confusion_of(path, [_detection(2, 7, [10, 10, 20, 20])], [2])
    assert draw_worst_images(perfect, path, [], paths, tmp_path / "none.png") == 0
    assert not (tmp_path / "none.png").exists()


def test_from_the_command_line(trained, shapes, tmp_path):
    out = ["--work-dir", str(tmp_path), "--pictures", str(tmp_path / "pictures")]
    arguments = ["test", str(TINY), str(trained[0] / "epoch_2.pth"), *out]
    arguments += ["--cfg-options", f"data_root={shapes}"]
    assert main(arguments) == 0
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {"confusion_matrix.png", "worst_images.png"}
