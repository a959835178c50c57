"""Whatever network it is: the server finds what the detector finds, and its page says why."""

import cv2
import pytest
from starlette.testclient import TestClient

from detr_kit.serving import create_app, open_detector

from ..small_models import random_images


@pytest.fixture(scope="module")
def client(small_model):
    with TestClient(create_app(open_detector(*small_model, device="cpu"), page=True)) as client:
        yield client


def test_images_of_any_shape_are_answered_and_explained(client, small_detector):
    for image in random_images(3)[:3]:
        png = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
        answer = client.post("/detect?score_threshold=0", content=png).json()
        alone = small_detector(image, score_threshold=0)
        assert (answer["height"], answer["width"]) == image.shape[:2]
        assert [row["class_name"] for row in answer["detections"]] == alone.class_names
        assert [row["score"] for row in answer["detections"]] == pytest.approx(
            alone.scores.tolist(), abs=1e-4
        )
        why = client.post("/explain?detection=0", content=png)
        assert why.status_code == 200, why.text
        assert why.headers["content-type"].startswith("image/")
