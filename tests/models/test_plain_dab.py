"""DAB-DETR and DAB-Deformable DETR without denoising: what tests of every architecture hold of DN-DETR's."""

import cv2
import pytest
import torch
from starlette.testclient import TestClient

from detr_kit import Detector
from detr_kit.data import write_shapes
from detr_kit.engine import train
from detr_kit.serving import create_app, open_detector

from ..places import CONFIGS, TINY_CONDITIONAL
from ..small_models import random_images, write_small_model

PLAIN = {"DAB-DETR": CONFIGS / "tiny_dab.py", "DAB-Deformable DETR": CONFIGS / "tiny_dab_deformable.py"}


@pytest.fixture(scope="module", params=PLAIN)
def model(request, tmp_path_factory):
    """Config and checkpoint."""
    return PLAIN[request.param], write_small_model(PLAIN[request.param], tmp_path_factory.mktemp("model"))


def test_the_explanation_is_of_the_detection(model):
    detector, image = Detector(*model, device="cpu"), random_images(3)[0]
    found = detector(image, score_threshold=0)
    assert len(found) > 12  # queries × classes
    for detection in (0, 3):
        explanation = detector.explain(image, detection)
        torch.testing.assert_close(explanation.boxes[-1], found[detection].boxes[0])
        attention = explanation.attention
        weights = attention.weights if hasattr(attention, "weights") else attention.maps
        torch.testing.assert_close(weights.sum((2, 3)), torch.ones(weights.shape[:2]))


def test_the_server_finds_what_the_detector_finds(model):
    image = random_images(3)[0]
    with TestClient(create_app(open_detector(*model, device="cpu"))) as client:
        png = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
        answer = client.post("/detect?score_threshold=0", content=png).json()
    scores = Detector(*model, device="cpu")(image, score_threshold=0).scores
    assert [row["score"] for row in answer["detections"]] == pytest.approx(scores.tolist(), abs=1e-4)


@pytest.fixture(scope="module")
def few_shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    write_shapes(folder, num_train=4, num_val=1, image_size=64)
    return str(folder)


@pytest.mark.parametrize("config", [TINY_CONDITIONAL, *PLAIN.values()], ids=["Conditional DETR", *PLAIN])
def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(config, few_shapes, tmp_path):
    options = {"data_root": few_shapes, "train_cfg.val_interval": 9, "train_dataloader.batch_size": 2}
    train(config, work_dir=tmp_path / "whole", options=options)
    train(config, work_dir=tmp_path / "rest", options=options, resume=tmp_path / "whole" / "epoch_1.pth")
    whole, rest = (
        torch.load(tmp_path / run / "epoch_2.pth", weights_only=True)["state_dict"]
        for run in ("whole", "rest")
    )
    assert whole.keys() == rest.keys()
    assert all(torch.equal(whole[key], rest[key]) for key in whole)
