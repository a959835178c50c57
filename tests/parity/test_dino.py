"""DINO: the original code's weights give its outputs, detections, losses and gradients, and its denoising."""

import pytest
from torch import nn

from detr_kit.checkpoints import detect_format

from ..models.queries.pinned_noise import pin_noise
from .measured import Measured

NAMES = ["dino_4scale_r50", "dino_4scale_r50_dn"]


def as_recorded(network: nn.Module) -> None:
    network.denoising.box_noise = 0.4  # of the config; the training scripts say 1
    pin_noise(network.denoising, "flat", [5, 3])


@pytest.fixture(scope="module", params=NAMES)
def run(request):
    return Measured(request.param, "dino_r50_4scale", as_recorded)


def test_format_and_architecture_are_recognised(run):
    found = detect_format(run.state)
    assert found == "official"
    assert found.architecture.config_name == "dino_r50_4scale"
    assert (found.architecture.num_classes, found.architecture.num_queries) == (91, 900)


def test_parameters(run):
    run.check_parameters()


def test_outputs(run):
    logits, boxes = run.output.encoder
    run.check_outputs(logits=run.output.logits, boxes=run.output.boxes, enc_logits=logits, enc_boxes=boxes)
    if run.network.training:
        logits, boxes = run.output.denoising.layers[-1]
        run.check_outputs(dn_logits=logits, dn_boxes=boxes)
    else:
        assert run.output.denoising is None


def test_detections(run):
    if "post0_scores" in run.arrays:
        run.check_detections()


def test_losses(run):
    run.check_losses(lambda name: name.replace("_interm", "_enc"))


def test_gradients(run):
    run.check_gradients()
