"""Conditional, DAB- and DN-DETR, also with deformable attention, against the original code.

Its weights give its outputs, detections, losses and gradients.
"""

import pytest
from torch import nn

from detr_kit.checkpoints import detect_format

from ..models.queries.pinned_noise import pin_noise
from .measured import Measured

NAMES = {
    "conditional_detr_r50": "conditional_detr_r50",
    "dab_detr_r50": "dab_detr_r50",
    "dn_detr_r50_dn": "dn_detr_r50",
    "dab_deformable_detr_r50": "dab_deformable_detr_r50",
    "dn_deformable_detr_r50_dn": "dn_deformable_detr_r50",
}


def as_recorded(network: nn.Module) -> None:
    if getattr(network, "denoising", None) is not None:
        pin_noise(network.denoising, "flat, unsigned", [5, 3])


@pytest.fixture(scope="module", params=NAMES)
def run(request):
    return Measured(request.param, NAMES[request.param], as_recorded)


def test_format_and_architecture_are_recognised(run):
    found = detect_format(run.state)
    assert found == "official"
    assert found.architecture.config_name == NAMES[run.reference.name]
    assert (found.architecture.num_classes, found.architecture.num_queries) == (91, 300)


def test_parameters(run):
    run.check_parameters()


def test_outputs(run):
    run.check_outputs(logits=run.output.logits, boxes=run.output.boxes)
    if run.network.training:
        logits, boxes = run.output.denoising.layers[-1]
        # Nothing is learnt from padding, which here says so.
        shown = logits.amax(-1, keepdim=True) > -1e3
        assert shown.sum() == 5 * (5 + 3)
        if "dn_logits" in run.arrays:
            expected = run.arrays["dn_logits"]
            run.check_outputs(dn_logits=logits.where(shown, expected), dn_boxes=boxes)


def test_detections(run):
    if "post0_scores" in run.arrays:
        run.check_detections()


def test_losses(run):
    run.check_losses(_ours)


def _ours(name: str) -> str:
    """tgt_loss_ce_0 -> loss_ce_dn_0."""
    if not name.startswith("tgt_"):
        return name
    _, loss, kind, *layer = name.split("_")
    return "_".join((loss, kind, "dn", *layer))


def test_gradients(run):
    run.check_gradients()
