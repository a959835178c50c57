"""Thresholds and counts out of their range are refused with the range, before any work."""

import numpy as np
import pytest

from detr_kit import Detector
from detr_kit.errors import InputError
from detr_kit.models.postprocess import SigmoidPostprocessor
from detr_kit.predict import PredictRun

NO_SHARES = [50, -1, 1.01, float("nan"), float("inf"), None, "0.3", True, [0.3]]


NO_COUNTS = [0, -1, 1.5, float("nan"), "3", True]


IMAGE = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def builtin():
    return Detector(checkpoint="builtin", device="cpu")


@pytest.mark.parametrize("value", NO_SHARES)
def test_score_thresholds_lie_in_0_and_1(builtin, tmp_path, value):
    for use in (
        lambda: builtin(IMAGE, score_threshold=value),
        lambda: builtin.stream([IMAGE], score_threshold=value),  # at once, not when it is iterated over
        lambda: PredictRun(builtin, tmp_path / "out", score_threshold=value),
    ):
        with pytest.raises(InputError, match=r"score_threshold=.*; it must be in \[0, 1\]"):
            use()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.float64(0)])
def test_every_number_in_it_is_one(builtin, value):
    assert len(builtin(IMAGE, score_threshold=value)) == len(list(builtin(IMAGE, float(value))))


def test_per_cent_are_recognised(builtin):
    with pytest.raises(InputError, match=r"50 % is 0\.5"):
        builtin(IMAGE, score_threshold=50)


@pytest.mark.parametrize("value", [value for value in NO_SHARES if value is not None] + [0])
def test_nms_lies_above_0_and_up_to_1(value):
    with pytest.raises(InputError, match=r"nms_iou_threshold=.*; it must be in \(0, 1\], or None"):
        Detector(checkpoint="builtin", nms_iou_threshold=value)


@pytest.mark.parametrize("value", NO_COUNTS)
def test_batches_and_detections_are_counted(builtin, value):
    with pytest.raises(InputError, match=r"batch_size=.*; it must be .*1 or more"):
        builtin(IMAGE, batch_size=value)
    with pytest.raises(InputError, match=r"max_detections=.*; it must be .*1 or more"):
        SigmoidPostprocessor(max_detections=value)


def test_a_detector_says_what_it_is(builtin):
    assert repr(builtin) == (
        "Detector(d_fine_n of builtin, 5 classes: circle, square, triangle, star, …; float32 on cpu)"
    )
