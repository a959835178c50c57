"""D-FINE equals the original code (Peterande/D-FINE): outputs, detections, losses, gradients, denoising."""

import pytest
import torch

from detr_kit.checkpoints import convert_state_dict, detect_format

from .square_images import SquareRun, our_losses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["dfine_s", "dfine_s_dn"])
def run(request):
    return SquareRun(request.param, "d_fine_s")


def test_format_and_architecture_are_recognised(run):
    found = detect_format(run.state)
    assert found == "official"
    assert found.architecture.config_name == "d_fine_s"
    assert found.architecture.network["decoder"]["num_points"] == [3, 6, 3]


def test_parameters(run):
    run.check_parameters()


def test_outputs(run):
    parts = {"": (run.output.logits, run.output.boxes)}
    if "enc_logits" in run.arrays:
        parts |= {"enc_": run.output.encoder, "pre_": run.output.initial}
        edges = run.output.extras["edges"][-1]
        # Queries whose scores are as good as equal may have changed places.
        distance = torch.cdist(run.arrays["corners"], edges, p=float("inf"))
        assert distance.amin(-1).max() < 2e-5
        torch.testing.assert_close(run.output.extras["distances"].flatten(), run.arrays["project"])
    if "dn_logits" in run.arrays:
        denoising = run.output.denoising
        parts |= {"dn_": denoising.layers[-1], "dn_pre_": denoising.initial}
    run.check_outputs(**parts)


def test_detections(run):
    if "post0_scores" in run.arrays:
        run.check_detections()


def test_losses(run):
    run.check_losses(our_losses(list(run.record["losses"]), 3, "_enc_0"))


def test_gradients(run):
    run.check_gradients()


def test_the_way_back_is_bit_for_bit(run):
    back = convert_state_dict(convert_state_dict(run.state), to="official")
    assert back.keys() == run.state.keys()
    weights = set(run.record["keys"])
    assert all(back[key] is run.state[key] for key in weights)
    for name in ("up", "reg_scale"):
        assert back[f"decoder.decoder.{name}"] is back[f"decoder.{name}"]
    assert back["decoder.anchors"].shape == (1, 8400, 4)
    assert torch.equal(back["decoder.valid_mask"][..., 0], back["decoder.anchors"].isfinite().all(-1))
