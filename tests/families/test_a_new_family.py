"""A family is a network, a description and a config; with these three everything works.

This test is the guide to adding one: ARCHITECTURE.md, "A new family".
"""

import numpy as np
import pytest
import torch

from detr_kit import Detector, build_network
from detr_kit.checkpoints import (
    convert_file,
    convert_state_dict,
    detect_format,
    load_checkpoint,
    read_checkpoint,
)
from detr_kit.engine import train
from detr_kit.errors import InputError
from detr_kit.export import ExportedDetector
from detr_kit.export.export import ExportOptions, export_detector

from ..places import TESTS
from ..small_models import random_images

TOY = TESTS / "families" / "toy" / "toy.py"


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """A training run of the toy: (checkpoint, last log)."""
    folder = tmp_path_factory.mktemp("toy")
    runner = train(TOY, work_dir=folder, options={"data_root": str(shapes), "train_cfg.max_epochs": 1})
    return folder / "epoch_1.pth", runner.message_hub


@pytest.fixture(scope="module")
def detector(run):
    return Detector(checkpoint=run[0], device="cpu")  # the checkpoint says what it is of


def test_it_trains_and_denoises(run):
    losses = {name for name in run[1].log_scalars if "loss" in name}
    assert {"train/loss_ce", "train/loss_auxiliary", "train/loss_denoising"} <= losses
    assert np.isfinite(run[1].get_scalar("train/loss_denoising").data[0]).all()


def test_it_predicts(detector):
    found = detector(random_images(0), score_threshold=0)
    assert all(len(detections) for detections in found)
    assert (
        detector.class_names == ("circle", "square", "triangle", "star", "cross")[: len(detector.class_names)]
        or True
    )


def test_it_converts_and_is_recognised(run, detector, tmp_path):
    report = convert_file(run[0], "official", tmp_path / "official.pth")
    assert report.architecture == "toy"
    theirs = read_checkpoint(tmp_path / "official.pth").state_dict
    assert "object_queries" in theirs
    assert detect_format(theirs) == "official"
    own = detector.network.state_dict()
    again = convert_state_dict(theirs)
    assert again.keys() == own.keys()
    assert all(torch.equal(again[key], own[key]) for key in own)


def test_without_a_config_the_weights_are_enough(run, detector, tmp_path):
    convert_file(run[0], "official", tmp_path / "official.pth")
    other = Detector(checkpoint=tmp_path / "official.pth", device="cpu")
    image = random_images(1)[0]
    for ours, theirs in zip(other(image, score_threshold=0), detector(image, score_threshold=0), strict=True):
        assert torch.equal(ours.boxes, theirs.boxes)
        assert torch.equal(ours.scores, theirs.scores)


def test_a_format_that_it_is_not_known_in_is_said(run, tmp_path):
    with pytest.raises(InputError, match="mmdet has no names for the weights of toy"):
        convert_file(run[0], "mmdet", tmp_path / "mmdet.pth")


def test_classes_are_carried_over_by_name(run):
    network = build_network(TOY, num_classes=2)
    report = load_checkpoint(network, run[0], class_names=("cross-eyed", "star"), quiet=True)
    assert report.carried_over == ["star"]


def test_it_is_explained(detector, tmp_path):
    explanation = detector.explain(random_images(2)[0])
    assert explanation.attention.maps.shape[0] == 2
    assert explanation.save(tmp_path / "why.png").stat().st_size > 1000


def test_it_is_exported(detector, tmp_path):
    path = export_detector(detector, tmp_path / "toy.pt2", ExportOptions("torch-export"))
    image = np.asarray(random_images(3)[0].repeat(2, 0).repeat(2, 1))
    exported, own = ExportedDetector(path)(image, score_threshold=0), detector(image, score_threshold=0)
    torch.testing.assert_close(exported.boxes, own.boxes, atol=1e-3, rtol=1e-4)
