"""From logits and boxes to detections, with and without duplicates."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from detr_kit import Detector
from detr_kit.checkpoints.location import BUILTIN_FILE
from detr_kit.cli import main
from detr_kit.errors import InputError
from detr_kit.models.postprocess import SigmoidPostprocessor, SoftmaxPostprocessor
from detr_kit.structures import DetectorOutput

from ..losses.made_up import an_output

SIZES = [(480, 640), (100, 50)]


def _output(seed, queries=20):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, queries, 4, generator=generator)
    boxes = 0.3 + 0.3 * torch.rand(2, queries, 4, generator=generator)  # crowded
    return DetectorOutput(logits, boxes, [])


@pytest.mark.parametrize("kind", [SigmoidPostprocessor, SoftmaxPostprocessor])
@given(seed=st.integers(0, 10**6), threshold=st.floats(0.05, 1))
def test_without_duplicates_nothing_overlaps_a_better_one_of_its_class(kind, seed, threshold):
    everything = kind()(_output(seed), SIZES)
    for found, all_found in zip(
        kind(nms_iou_threshold=threshold)(_output(seed), SIZES), everything, strict=True
    ):
        assert torch.equal(found.scores, found.scores.sort(descending=True).values)
        overlap = box_iou(found.boxes, found.boxes)
        same = (found.labels[:, None] == found.labels) & ~torch.eye(len(found.labels), dtype=torch.bool)
        assert not (same & (overlap > threshold)).any()
        # What is missing overlaps a better one that was kept.
        kept = {tuple(box) for box in found.boxes.tolist()}
        for score, label, box in zip(*all_found, strict=True):
            if tuple(box.tolist()) not in kept:
                rivals = found.boxes[(found.labels == label) & (found.scores >= score)]
                assert (box_iou(box[None], rivals) > threshold).any()


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, float("nan")])
def test_a_threshold_that_is_no_iou_is_refused(threshold):
    with pytest.raises(InputError, match=r"nms_iou_threshold=.*; it must be in \(0, 1\], or None"):
        SigmoidPostprocessor(nms_iou_threshold=threshold)


def test_duplicates_use_up_no_place_of_other_objects():
    """Forty queries on one object, one on each of four others: with five places all five are found."""
    boxes = torch.tensor([[0.1, 0.1, 0.1, 0.1]] * 40 + [[0.1 + 0.2 * i, 0.8, 0.1, 0.1] for i in range(4)])
    logits = torch.linspace(3, 1, len(boxes))[:, None]
    output = DetectorOutput(logits[None], boxes[None], [])
    (found,) = SigmoidPostprocessor(max_detections=5, nms_iou_threshold=0.7)(output, SIZES[:1])
    assert len(found.scores) == 5
    assert len({tuple(box) for box in found.boxes.tolist()}) == 5
    (kept,) = SigmoidPostprocessor(max_detections=2, nms_iou_threshold=0.7)(output, SIZES[:1])
    assert torch.equal(kept.scores, found.scores[:2])


def test_a_limit_that_keeps_nothing_is_refused():
    with pytest.raises(InputError, match="max_detections=0; it must be 1 or more"):
        SigmoidPostprocessor(max_detections=0)


def test_the_papers_postprocessing_keeps_everything():
    found = SigmoidPostprocessor(max_detections=50)(_output(0), SIZES)
    assert [len(prediction.scores) for prediction in found] == [50, 50]


class TestDetector:
    def test_duplicates_are_left_out_where_it_is_asked_for(self, shapes):
        picture = next((shapes / "val").glob("*.png"))
        everything = Detector(checkpoint="builtin", device="cpu")(picture, score_threshold=0)
        sparse = Detector(checkpoint="builtin", device="cpu", nms_iou_threshold=0.05)
        assert 0 < len(sparse(picture, score_threshold=0).scores) < len(everything.scores)

    def test_an_exported_file_leaves_out_the_same_and_says_so(self, trained, shapes, tmp_path, capsys):
        pytest.importorskip("onnxruntime")
        from detr_kit.export import ExportedDetector

        content = torch.load(trained[0] / "epoch_2.pth", weights_only=True)
        content["meta"]["recipe"]["postprocessor"]["nms_iou_threshold"] = 0.05
        torch.save(content, tmp_path / "small.pth")
        command = ["export", "--checkpoint", str(tmp_path / "small.pth"), "--format", "onnx", "--out"]
        main([*command, str(tmp_path / "m.onnx"), "--static", "128", "128", "--limit", "2"])
        assert (
            "another program has to (non-maximum suppression within a class, IoU 0.05)"
            in capsys.readouterr().out
        )
        picture = next((shapes / "val").glob("*.png"))
        ours = Detector(checkpoint=tmp_path / "small.pth", device="cpu")(picture, 0)
        theirs = ExportedDetector(tmp_path / "m.onnx")(picture, 0)
        assert 0 < len(ours.scores) < 12 * 5
        torch.testing.assert_close(
            torch.as_tensor(theirs.boxes), torch.as_tensor(ours.boxes), atol=0.01, rtol=0
        )

    def test_on_the_command_line(self, shapes, tmp_path, capsys):
        picture = str(next((shapes / "val").glob("*.png")))
        command = [
            "predict",
            picture,
            "--checkpoint",
            str(BUILTIN_FILE),
            "--out",
            str(tmp_path),
            "--device",
            "cpu",
        ]
        assert main([*command, "--nms", "0.6"]) == 0
        assert main([*command, "--nms", "60"]) == 2
        assert "nms_iou_threshold=60.0; it must be in (0, 1], or None" in capsys.readouterr().err


def test_a_postprocessor_of_the_other_kind_is_refused():
    with pytest.raises(InputError, match=r"SoftmaxPostprocessor reads logits as 'softmax'.*'focal'"):
        SoftmaxPostprocessor()(an_output("focal"), [(10, 10)] * 2)
    with pytest.raises(InputError, match="SigmoidPostprocessor reads logits as 'focal'"):
        SigmoidPostprocessor()(an_output("softmax"), [(10, 10)] * 2)
