"""The original code's weights give the original code's outputs, detections, losses and gradients."""

import pytest
import torch

from detr_kit import build_network
from detr_kit.checkpoints import convert_state_dict, detect_format
from detr_kit.config import read_config
from detr_kit.registry import MODELS, build

from .reference_model import ORIGINAL_SIZES, Reference, images_and_mask, targets

NAMES = ["detr_r50", "deformable_detr_r50", "deformable_detr_r50_refine", "deformable_detr_r50_two_stage"]


class Run:
    """One forward and backward pass of our network with the reference's weights."""

    def __init__(self, name: str) -> None:
        self.reference = Reference(name)
        self.network = build_network(name).eval()
        self.state = self.reference.state_dict()
        self.network.load_state_dict(convert_state_dict(self.state))
        self.output = self.network(*images_and_mask())
        config = read_config(name)
        self.criterion = build(config.model.criterion.to_dict(), MODELS)
        self.postprocessor = build(config.model.postprocessor.to_dict(), MODELS)
        self.losses = self.criterion(self.output, targets())
        sum(self.criterion.weighted(self.losses).values()).backward()


@pytest.fixture(scope="module", params=NAMES)
def run(request):
    return Run(request.param)


def test_format_and_architecture_are_recognised(run):
    found = detect_format(run.state)
    assert found == "official"
    assert found.architecture.config_name == run.reference.name
    assert found.architecture.num_classes == 91


def test_logits_and_boxes(run):
    arrays = run.reference.arrays
    # Two-stage logits are of order 10, all others of order 1.
    torch.testing.assert_close(run.output.logits, arrays["logits"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(run.output.boxes, arrays["boxes"], atol=1e-4, rtol=0)
    if run.output.encoder is not None:
        torch.testing.assert_close(run.output.encoder[0], arrays["enc_logits"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(run.output.encoder[1], arrays["enc_boxes"], atol=1e-4, rtol=0)
    assert (run.output.encoder is not None) == ("enc_logits" in arrays)


def test_detections(run):
    predictions = run.postprocessor(run.output, ORIGINAL_SIZES)
    for i, prediction in enumerate(predictions):
        expected = {k: run.reference.arrays[f"post{i}_{k}"] for k in ("scores", "labels", "boxes")}
        order = expected["scores"].argsort(descending=True, stable=True)
        expected = {k: v[order] for k, v in expected.items()}
        torch.testing.assert_close(prediction.scores, expected["scores"], atol=1e-4, rtol=0)
        # Detections of (nearly) equal score may change places: compare as sets of rows.
        rows = _rows(prediction.scores, prediction.labels, prediction.boxes)
        expected_rows = _rows(**expected)
        distance = torch.cdist(rows, expected_rows, p=float("inf"))
        assert distance.amin(0).max() < 0.05
        assert distance.amin(1).max() < 0.05


def _rows(scores, labels, boxes):
    return torch.cat((scores[:, None] * 100, labels[:, None].float() * 10, boxes), dim=1)


def test_losses(run):
    for name, expected in run.reference.record["losses"].items():
        if name.startswith("loss") or name == "class_error":
            assert run.losses[name].item() == pytest.approx(expected, rel=1e-4), name
    total = sum(run.criterion.weighted(run.losses).values())
    assert total.item() == pytest.approx(run.reference.record["total"], rel=1e-4)
    ours = {name for name in run.losses if name.startswith("loss")}
    assert ours == {name for name in run.reference.record["losses"] if name.startswith("loss")}


def test_gradients(run):
    # Conversion renames and keeps the tensors themselves: their identity leads back to the original names.
    recorded = {id(run.state[name]): value for name, value in run.reference.record["grads"].items()}
    expected = {ours: recorded.get(id(t)) for ours, t in convert_state_dict(run.state).items()}
    for name, parameter in run.network.named_parameters():
        if expected[name] is None:
            assert parameter.grad is None, name
        else:
            assert parameter.grad.abs().sum().item() == pytest.approx(expected[name], rel=1e-3, abs=1e-4), (
                name
            )
