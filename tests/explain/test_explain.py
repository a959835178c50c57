"""Explanations say what the network computed, and draw it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detr_kit import Detector
from detr_kit.cli import main
from detr_kit.errors import InputError
from detr_kit.explain.attention import recorded_inputs
from detr_kit.families import family_of_network
from detr_kit.models.layers.ms_deform_attn import Values
from detr_kit.ops import ms_deform_attn

from ..places import TINY
from ..small_models import random_images


@pytest.fixture(scope="module")
def image():
    return random_images(3)[0]


def _run(detector: Detector, image: np.ndarray):
    """The network itself, not the copy of it that is ready for many images."""
    pixels = detector.transforms(torch.from_numpy(image).permute(2, 0, 1))[None]
    detector.network(detector.inputs(pixels), None)


def _outputs(detector: Detector, image: np.ndarray, modules):
    """What the modules gave while the detector ran on an image."""
    outputs = []
    handles = [m.register_forward_hook(lambda _, __, output: outputs.append(output)) for m in modules]
    _run(detector, image)
    for handle in handles:
        handle.remove()
    return outputs


@pytest.mark.parametrize("detection", [0, 3])
def test_the_explanation_is_of_the_detection(small_detector, image, detection):
    found = small_detector(image, score_threshold=0)[detection]
    explanation = small_detector.explain(image, detection)
    assert explanation.class_name == found.class_names[0]
    assert explanation.score == pytest.approx(float(found.scores[0]), abs=1e-6)
    torch.testing.assert_close(explanation.boxes[-1], found.boxes[0])
    by_query = small_detector.explain(image, query=explanation.query)
    torch.testing.assert_close(by_query.boxes, explanation.boxes)


def test_weights_of_a_head_sum_to_one(small_detector, image):
    attention = small_detector.explain(image).attention
    weights = attention.weights if hasattr(attention, "weights") else attention.maps
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(weights.shape[:2]))


@torch.inference_mode()
def test_the_attention_shown_is_the_attention_used(small_detector, image):
    """With the shown weights (and points) the layer's output can be computed, and is what the layer gave."""
    network = small_detector.network
    modules, _ = family_of_network(network).explained_modules(network)
    outputs = _outputs(small_detector, image, modules)
    with recorded_inputs(modules) as calls:
        _run(small_detector, image)
    explanation = small_detector.explain(image, 1)
    attention, query = explanation.attention, explanation.query
    for index, (module, call) in enumerate(zip(modules, calls, strict=True)):
        if hasattr(attention, "points"):
            value = call[2]
            values = value if isinstance(value, Values) else module.values_of(value, call[3])
            shown = (attention.points[index][None, None], attention.weights[index][None, None])
            attended = ms_deform_attn(values.values, values.shapes, None, *shown)[0, 0]
        else:
            value = _values(module, call)
            heads = value[0].unflatten(-1, (module.num_heads, -1))
            attended = torch.einsum("ms,smc->mc", attention.maps[index].flatten(1), heads).flatten()
        project = getattr(module, "output_proj", None) or module.out_proj
        torch.testing.assert_close(project(attended), outputs[index][0, query], atol=1e-5, rtol=1e-4)


def _values(module, call):
    """What a query takes up of each pixel, before heads are told apart."""
    if hasattr(module, "in_proj_weight"):
        return torch.nn.functional.linear(
            call[2], module.in_proj_weight.chunk(3)[2], module.in_proj_bias.chunk(3)[2]
        )
    return module.value(call[3])  # the memory, after three kinds of queries


def test_nothing_of_it_stays_in_the_network(small_detector, image):
    small_detector.explain(image)
    assert not any(module._forward_pre_hooks for module in small_detector.network.modules())


@pytest.mark.parametrize("layer", [0, -1])
def test_the_figure_shows_the_box(small_detector, image, tmp_path, layer):
    explanation = small_detector.explain(image)
    figure = np.asarray(explanation.plot(layer)).astype(int)
    assert figure.shape[1] > 1500
    red = (abs(figure - [255, 45, 45]).max(-1) < 40).sum()
    assert red > 500  # the final box, in every panel
    written = Image.open(explanation.save(tmp_path / "why" / "figure.png", layer))
    assert written.size == explanation.plot(layer).size


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(detection=10_000), "detection=10000: there are"),
    (dict(query=-1), "query=-1: there are 12, 0 … 11"),
])  # fmt: skip
def test_what_is_not_there_cannot_be_explained(small_detector, image, arguments, message):
    with pytest.raises(InputError, match=message):
        small_detector.explain(image, **arguments)


def test_no_such_layer(small_detector, image):
    with pytest.raises(InputError, match="the decoder has 2 layers"):
        small_detector.explain(image).plot(layer=2)


def test_the_command_writes_a_figure_a_detection(trained, shapes, tmp_path, capsys):
    image = str(shapes / "val" / "000001.png")
    command = ["explain", image, "--model", str(TINY), "--checkpoint", str(trained[0] / "epoch_2.pth")]
    out = ["--device", "cpu", "--out", str(tmp_path)]
    assert main([*command, *out, "--detection", "0"]) == 0
    assert main([*command, *out, "--query", "5"]) == 0
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["000001_0.png", "000001_query_5.png"]
    assert main([*command, *out, "--score-threshold", "1"]) == 2
    assert "lower --score-threshold" in capsys.readouterr().err
