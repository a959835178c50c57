"""The Detector and its Detections."""

import io
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detr_kit import Detector
from detr_kit.checkpoints import write_checkpoint
from detr_kit.errors import InputError
from detr_kit.inference.detections import Detections
from detr_kit.inference.detector import choose_device
from detr_kit.visualization import class_colour

from ..parity.reference_model import Reference
from ..places import TINY


@pytest.fixture(scope="module")
def detector(trained):
    return Detector(TINY, trained[0] / "epoch_2.pth", device="cpu")


@pytest.fixture(scope="module")
def photo(shapes):
    return shapes / "val" / "000001.png"


def test_every_kind_of_source_gives_the_same(detector, photo):
    pil = Image.open(photo)
    rgb = np.array(pil)
    sources = {
        "path": photo,
        "string": str(photo),
        "bytes": photo.read_bytes(),
        "PIL": pil,
        "RGBA": pil.convert("RGBA"),
        "array": rgb,
        "float array": rgb.astype(np.float32) / 255,
        "tensor": torch.from_numpy(rgb).permute(2, 0, 1),
    }
    expected = detector(photo, score_threshold=0)
    assert len(expected) > 0
    for name, source in sources.items():
        found = detector(source, score_threshold=0)
        torch.testing.assert_close(found.boxes, expected.boxes, msg=name)
        torch.testing.assert_close(found.scores, expected.scores, msg=name)
    bgr = detector(cv2.imread(str(photo)), score_threshold=0, bgr=True)
    torch.testing.assert_close(bgr.boxes, expected.boxes)


def test_a_list_gives_a_list_in_its_order(detector, shapes):
    images = sorted((shapes / "val").glob("*.png"))
    together = detector([*images, Image.new("RGB", (90, 50))], score_threshold=0)
    assert [d.path for d in together[:-1]] == [str(p) for p in images]
    for path, found in zip(images, together, strict=False):
        alone = detector(path, score_threshold=0)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-4, rtol=0)
    assert detector([]) == []


def test_boxes_are_pixels_of_the_original_image(detector, photo):
    small = detector(photo, score_threshold=0)
    assert small.boxes.max() <= 64 + 1e-3
    assert (small.boxes[:, 2:] >= small.boxes[:, :2]).all()
    assert small.scores.diff().max() <= 0


def test_the_threshold_cuts(detector, photo):
    everything = detector(photo, score_threshold=0)
    threshold = float(everything.scores[2])
    assert len(detector(photo, score_threshold=threshold)) >= 3
    assert len(detector(photo, score_threshold=1)) == 0


def test_names_and_formats(detector, photo):
    found = detector(photo, score_threshold=0)
    assert detector.class_names == ("circle", "square", "triangle", "star", "ring")
    assert found.class_names[0] == detector.class_names[int(found.labels[0])]
    coco = found.to_coco(image_id=12)
    assert coco[0]["image_id"] == 12
    assert coco[0]["category_id"] == int(found.labels[0]) + 1  # the data set's ids begin at 1
    assert coco[0]["bbox"][2] == pytest.approx(float(found.boxes[0, 2] - found.boxes[0, 0]), abs=1e-3)
    data = json.loads(found.to_json())
    assert data["detections"][0]["box"] == pytest.approx(found.boxes[0].tolist())
    supervision = found.to_supervision()
    np.testing.assert_allclose(supervision.xyxy, found.boxes.numpy())
    assert list(supervision.data["class_name"]) == found.class_names


def test_plot_draws_and_save_writes(detector, photo, tmp_path):
    found = detector(photo, score_threshold=0)
    found = Detections(
        torch.tensor([[10.0, 20, 50, 60]]),
        torch.tensor([0.9]),
        torch.tensor([2]),
        found.categories,
        found.image,
    )
    before, after = found.image, np.array(found.plot())
    assert after.shape == before.shape
    assert tuple(after[40, 10]) == class_colour(2)  # the left edge
    assert (after[40, 30] == before[40, 30]).all()  # the inside stays
    assert (np.array(Image.open(io.BytesIO(found._repr_png_()))) == after).all()  # as notebooks show it
    assert found.save(tmp_path / "deep" / "out.jpg").is_file()
    with pytest.raises(InputError, match=r"try a .png or .jpg name"):
        found.save(tmp_path / "out.xyz")


def test_a_detection_over_the_rim_or_without_area_can_be_drawn(detector, photo):
    found = detector(photo, score_threshold=0)
    boxes = torch.tensor([[-20.0, -20, 300, 300], [5, 5, 5, 5]])
    odd = Detections(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), found.categories, found.image)
    assert odd.plot().size == (64, 64)


@pytest.mark.parametrize(("source", "message"), [
    (b"no image", r"source\[0\]: not an image"),
    (np.zeros((4, 4, 7), np.uint8), r"an array of shape \(4, 4, 7\)"),
    (np.zeros((4, 4, 3), np.float32) - 2, r"values outside \[0, 1\]"),
    (np.zeros((4, 4, 3), np.int64), "an? int64 array"),
    (torch.zeros(4, 4), r"a tensor of shape \(4, 4\)"),
    ("nowhere.jpg", "nowhere.jpg: No such file"),
    (".", "no image there; files must end in one of"),
    ("http://127.0.0.1:9/x.jpg", "it cannot be fetched"),
])  # fmt: skip
def test_what_is_no_image_is_refused(detector, source, message):
    with pytest.raises(InputError, match=message):
        detector(source)


def test_text_files_are_no_images(detector, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes.txt: not an image"):
        detector(tmp_path / "notes.txt")


def test_official_checkpoints_know_coco(tmp_path):
    torch.save({"model": Reference("deformable_detr_r50").state_dict()}, tmp_path / "official.pth")
    detector = Detector("deformable_detr_r50", tmp_path / "official.pth", device="cpu")
    assert detector.class_names[1] == "person"
    assert len(detector.class_names) == 91


def test_classes_can_be_named(trained, tmp_path):
    network = Detector(TINY, trained[0] / "epoch_2.pth", device="cpu").network
    path = tmp_path / "weights.safetensors"
    write_checkpoint(path, network.state_dict(), {})
    assert Detector(TINY, path, "cpu").class_names[0] == "class 0"
    assert Detector(TINY, path, "cpu", class_names=list("abcde")).class_names == tuple("abcde")
    with pytest.raises(InputError, match="2 names for a checkpoint with 5 classes"):
        Detector(TINY, path, "cpu", class_names=["a", "b"])


def test_a_model_of_another_size_is_refused(trained):
    with pytest.raises(InputError, match="choose the config of the checkpoint"):
        Detector("deformable_detr_r18_shapes", trained[0] / "epoch_2.pth", "cpu")


class TestSelecting:
    @pytest.fixture
    def found(self, detector, photo):
        boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 45, 25], [-5, 60, 30, 90], [7, 7, 7, 7]])
        template = detector(photo)
        scores, labels = torch.tensor([0.9, 0.7, 0.5, 0.3]), torch.tensor([0, 1, 0, 4])
        return Detections(boxes, scores, labels, template.categories, template.image, "photo.png")

    @pytest.mark.parametrize(("index", "expected"), [
        (1, [1]), (-1, [3]), (slice(1, 3), [1, 2]), (slice(None, None, 2), [0, 2]), ([3, 0], [3, 0]),
        ([], []), (np.array([True, False, True, False]), [0, 2]), (torch.tensor([2]), [2]), ([False] * 4, []),
    ])  # fmt: skip
    def test_indexing(self, found, index, expected):
        chosen = found[index]
        assert chosen.scores.tolist() == found.scores[expected].tolist()
        assert chosen.boxes.shape == (len(expected), 4)
        assert chosen.class_names == [found.class_names[i] for i in expected]
        assert (chosen.path, chosen.image is found.image) == ("photo.png", True)

    @pytest.mark.parametrize("index", [4, -5, [9], [True, False]])
    def test_what_is_not_there_cannot_be_indexed(self, found, index):
        with pytest.raises(IndexError):
            found[index]

    def test_iterating_gives_each(self, found):
        assert [len(one) for one in found] == [1, 1, 1, 1]

    @pytest.mark.parametrize(("conditions", "expected"), [
        (dict(class_names="circle"), [0, 2]), (dict(class_names=["square", "ring"]), [1, 3]),
        (dict(min_score=0.5), [0, 1, 2]), (dict(min_area=101), [1, 2]), (dict(max_area=100), [0, 3]),
        (dict(class_names="circle", min_score=0.6), [0]), (dict(), [0, 1, 2, 3]),
    ])  # fmt: skip
    def test_filtering(self, found, conditions, expected):
        assert found.filter(**conditions).scores.tolist() == found.scores[expected].tolist()

    def test_a_class_that_does_not_exist_is_a_mistake(self, found):
        with pytest.raises(InputError, match="no class 'cricle'; there are circle, square"):
            found.filter("cricle")

    def test_cropping_stays_in_the_image(self, found):
        pieces = found.crop()
        assert [piece.size for piece in pieces] == [(10, 10), (40, 20), (30, 4), (1, 1)]
        np.testing.assert_array_equal(np.asarray(pieces[1]), found.image[5:25, 5:45])
        assert found.crop(margin=0.1)[0].size == (11, 11)

    def test_a_table(self, found):
        table = found.to_pandas()
        assert list(table.columns) == ["class_name", "score", "x0", "y0", "x1", "y1", "label"]
        assert table["class_name"].tolist() == ["circle", "square", "circle", "ring"]
        np.testing.assert_allclose(table[["x0", "y0", "x1", "y1"]].to_numpy(), found.boxes.numpy())
        assert len(found[[]].to_pandas()) == 0

    def test_nothing_can_be_drawn_and_written_too(self, found):
        nothing = found[[]]
        assert nothing.plot().size == (64, 64)
        assert (nothing.to_coco(1), nothing.to_dict()["detections"], nothing.crop()) == ([], [], [])
        assert len(nothing.to_supervision()) == 0


class TestFolders:
    def test_a_folder_and_a_pattern_give_a_list(self, detector, shapes):
        folder = shapes / "val"
        for source in (folder, str(folder / "*.png")):
            assert [d.path for d in detector(source)] == [str(p) for p in sorted(folder.iterdir())]

    def test_a_video_is_for_stream(self, detector):
        for source in ("clip.mp4", 0):
            with pytest.raises(InputError, match=r"a video; use stream\(\)"):
                detector(source)


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_half_precision_gives_nearly_the_same_in_float32(small_model, photo, half):
    whole = Detector(*small_model, device="cpu")(photo, score_threshold=0)
    halved = Detector(*small_model, device="cpu", half=half)
    found = halved(photo, score_threshold=0)
    assert next(halved.network.parameters()).dtype != torch.float32
    assert (found.boxes.dtype, found.scores.dtype) == (torch.float32, torch.float32)
    assert abs(found.scores[0] - whole.scores[0]) < 0.05
    assert halved.explain(photo).boxes.dtype == torch.float32


def test_compile_runs_the_compiled_network_and_changes_nothing(detector, trained, photo, monkeypatch):
    compiled = []
    compile_network = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda net, **_: compiled.append(net) or compile_network(net, backend="aot_eager")
    )
    faster = Detector(TINY, trained[0] / "epoch_2.pth", device="cpu", compile=True)
    found, expected = faster(photo, 0), detector(photo, 0)
    assert [type(network) for network in compiled] == [type(faster.network)]  # made ready to run
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(half="int8"), "half='int8'; it must be 'bf16', 'fp16' or None"),
    (dict(device="tpu"), "device tpu: "),
    (dict(device="cuda:99"), "device cuda:99: "),
])  # fmt: skip
def test_devices_and_types_that_do_not_exist(small_model, arguments, message):
    with pytest.raises(InputError, match=message):
        Detector(*small_model, **arguments)


def test_the_device_is_the_fastest_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device().type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"
