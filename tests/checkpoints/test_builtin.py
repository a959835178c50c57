"""The checkpoint inside the package: it works at once, offline, and is as good as it says."""

import re

import pytest
from PIL import Image
from torchvision.ops import box_iou

from detr_kit import Detector
from detr_kit.checkpoints import read_checkpoint
from detr_kit.checkpoints.location import BUILTIN_FILE
from detr_kit.cli import main
from detr_kit.data import write_shapes
from detr_kit.defaults import BUILTIN
from detr_kit.engine import evaluate


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, num_train=1)
    return folder


def test_it_is_small_and_says_where_it_comes_from():
    metadata = read_checkpoint("builtin").metadata
    assert BUILTIN_FILE.stat().st_size <= 5_000_000
    assert metadata["command"] == f"detr-kit train {BUILTIN}"
    assert metadata["config"] == BUILTIN


@pytest.mark.parametrize("model", [None, BUILTIN])
def test_a_detector_needs_nothing_else(model, shapes):
    detector = Detector(model, checkpoint="builtin", device="cpu")
    assert detector.class_names == ("circle", "square", "triangle", "star", "ring")
    detections = detector(sorted((shapes / "val").glob("*.png"))[0], score_threshold=0.3)
    assert len(detections)


@pytest.mark.slow
def test_its_ap_is_the_one_it_states(shapes, tmp_path):
    figures = evaluate(BUILTIN, "builtin", work_dir=tmp_path, options={"data_root": str(shapes)})
    assert figures["coco/AP"] == pytest.approx(read_checkpoint("builtin").metadata["AP"], abs=0.01)


def test_a_larger_picture_is_seen_at_the_size_that_was_learnt(shapes):
    detector = Detector(checkpoint="builtin", device="cpu")
    found = again = 0
    for path in sorted((shapes / "val").glob("*.png"))[:8]:
        picture = Image.open(path)
        small, large = detector(picture, 0.5), detector(picture.resize((1280, 1280)), 0.3)
        same = small.labels[:, None] == large.labels
        found += len(small)
        again += int((same & (box_iou(small.boxes, large.boxes / 10) > 0.7)).any(1).sum())
    assert again >= 0.75 * found > 0  # blurred by resizing twice; none at all when seen at full size


@pytest.mark.parametrize("to", ["huggingface", "official"])
def test_it_goes_to_other_projects_and_computes_the_same_there(to, tmp_path, capsys):
    pytest.importorskip("transformers")
    out = tmp_path / ("folder" if to == "huggingface" else "file.pth")
    assert main(["convert", "builtin", "--to", to, "-o", str(out), "--verify"]) == 0
    found = dict(re.findall(r"largest difference of (.+): (\S+)", capsys.readouterr().out))
    assert len(found) == (4 if to == "huggingface" else 2)
    assert all(float(value) < 1e-4 for value in found.values())
