"""detr-kit serve with a real detector."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from detr_kit import Detector
from detr_kit.data import write_shapes
from detr_kit.errors import InputError
from detr_kit.serving import open_detector

from .process import command_line, metric, picture


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Encoded images of two sizes, mixed."""
    folders = [tmp_path_factory.mktemp("shapes") for _ in range(2)]
    for folder, size in zip(folders, (128, 192), strict=True):
        write_shapes(folder, num_train=0, num_val=5, image_size=size)
    small, large = ([path.read_bytes() for path in sorted(f.glob("val/*.png"))] for f in folders)
    return [image for pair in zip(small, large, strict=True) for image in pair]


@pytest.fixture(scope="module")
def client():
    with command_line("serve", "--device", "cpu", "--max-wait", 0.2, "--max-batch", 4) as client:
        yield client


def test_answers_are_the_detectors_whatever_else_is_asked(client, images):
    with ThreadPoolExecutor(len(images)) as pool:
        answers = list(pool.map(lambda image: client.post("/detect", content=image).json(), images))
    assert 0 < metric(client, "detr_kit_batch_size_count") < len(images)  # batches were shared
    for image, answer, alone in zip(images, answers, Detector(checkpoint="builtin")(images), strict=True):
        assert (answer["height"], answer["width"]) == alone.image.shape[:2]
        found = answer["detections"]
        assert [row["class_name"] for row in found] == alone.class_names
        boxes = torch.tensor([row["box"] for row in found]).reshape(-1, 4)
        torch.testing.assert_close(boxes, alone.boxes, atol=1e-2, rtol=0)
        scores = torch.tensor([row["score"] for row in found])
        torch.testing.assert_close(scores, alone.scores, atol=1e-4, rtol=0)
        assert client.post("/detect", content=image).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"headers": {"content-type": "image/png"}},
        {"headers": {"content-type": "application/x-www-form-urlencoded"}},  # curl --data-binary
        {},
    ],
    ids=["as an image", "as curl sends it", "bare"],
)
def test_a_raw_body_and_a_form_are_the_same(client, images, body):
    raw = client.post("/detect", content=images[0], **body).json()
    form = client.post("/detect", files={"image": ("name.png", images[0])}, data={"note": "x"}).json()
    assert raw == form
    assert raw["detections"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_every_type_that_is_named_is_taken(client, kind):
    answer = client.post("/detect", content=picture(kind=kind))
    assert answer.status_code == 200, answer.text
    assert f"image/{kind.lower()}" in client.get("/model").json()["types"]


def test_parameters_choose(client, images):
    everything = client.post("/detect?score_threshold=0", content=images[0]).json()["detections"]
    some = client.post("/detect?score_threshold=0.4&max_detections=2", content=images[0]).json()["detections"]
    assert len(everything) == 100
    assert some == [found for found in everything if found["score"] >= 0.4][:2]


def test_what_it_says_of_itself(client, images):
    assert client.get("/health").json()["status"] == "ok"
    model = client.get("/model").json()
    assert [known["name"] for known in model["classes"]] == ["circle", "square", "triangle", "star", "ring"]
    client.post("/detect", content=images[0])
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    counted = {tuple(s.labels.values()): s.value for s in families["detr_kit_requests"].samples}
    assert counted["/detect", "200"] >= 1
    assert "process_resident_memory_bytes" in families


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(checkpoint="nowhere.pth"), "checkpoint nowhere.pth: no such file"),
        (dict(checkpoint="nowhere.onnx"), "nowhere.onnx: no such file"),
        (dict(checkpoint="shapes.onnx", half="bf16"), "leave out --model, --device and --half"),
    ],
)
def test_what_cannot_be_opened_is_one_message(arguments, message):
    with pytest.raises(InputError, match=message):
        open_detector(**arguments)
