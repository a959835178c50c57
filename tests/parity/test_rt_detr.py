"""RT-DETR equals the original code (lyuwenyu/RT-DETR): outputs, detections, losses, gradients, denoising."""

import pytest

from detr_kit.checkpoints import convert_state_dict, detect_format

from .square_images import SquareRun, our_losses

CONFIGS = {"rtdetr_r50": "rt_detr_r50", "rtdetr_r18_dn": "rt_detr_r18"}
LAYERS = {"rtdetr_r50": 6, "rtdetr_r18_dn": 3}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=CONFIGS)
def run(request):
    return SquareRun(request.param, CONFIGS[request.param])


def test_format_and_architecture_are_recognised(run):
    found = detect_format(run.state)
    assert found == "official"
    assert found.architecture.config_name == CONFIGS[run.reference.name]
    assert found.architecture.num_classes == 80


def test_parameters(run):
    run.check_parameters()


def test_outputs(run):
    parts = {"": (run.output.logits, run.output.boxes)}
    if "enc_logits" in run.arrays:
        parts["enc_"] = run.output.encoder
    if "dn_logits" in run.arrays:
        parts["dn_"] = run.output.denoising.layers[-1]
    run.check_outputs(**parts)


def test_detections(run):
    if "post0_scores" in run.arrays:
        run.check_detections()


def test_losses(run):
    layers = LAYERS[run.reference.name]
    run.check_losses(our_losses(list(run.record["losses"]), layers, f"_aux_{layers - 1}"))


def test_gradients(run):
    run.check_gradients()


def test_the_way_back_is_bit_for_bit(run):
    back = convert_state_dict(convert_state_dict(run.state), to="official")
    assert back.keys() == run.state.keys()
    assert all(back[key] is run.state[key] for key in back)
