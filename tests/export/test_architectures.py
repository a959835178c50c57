"""Every architecture in onnxruntime, at any size and batch: as small as it can be and still be itself."""

import numpy as np
import pytest
import torch

from detr_kit.config import read_config
from detr_kit.export.graph import DetectionGraph, GraphInputs
from detr_kit.export.metadata import ExportMetadata
from detr_kit.export.onnx_format import session, to_onnx
from detr_kit.export.torch_format import trace
from detr_kit.registry import MODELS, build
from detr_kit.zoo import build_network

from ..places import TINY_D_FINE, TINY_RT_DETR, TINY_RT_DETR_V2
from ..small_models import shake

pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
pytestmark = pytest.mark.filterwarnings("ignore")

TINY_NETWORKS = {"RT-DETR": TINY_RT_DETR, "RT-DETRv2": TINY_RT_DETR_V2, "D-FINE": TINY_D_FINE}
ARCHITECTURES = {
    "detr_r50": dict(),
    "deformable_detr_r50": dict(),
    "deformable_detr_r50_two_stage": dict(),
    "deformable_detr_r50_single_scale": dict(),
    "dino_r50_4scale": dict(),
    "conditional_detr_r50": dict(),
    "dab_detr_r50": dict(),
    "dab_deformable_detr_r50": dict(),
}


def small(name: str) -> torch.nn.Module:
    """The architecture of a config with one layer each, few channels and weights that tell queries apart.

    RT-DETR and what grew from it are small as the tests have them.

    Of several levels there are two, both of the backbone's, or one of the neck's own where there are two
    stages: with each free size more torch.export and onnxscript take a third longer.
    """
    if name in TINY_NETWORKS:
        network = build_network(TINY_NETWORKS[name]).eval()
        shake(network)
        return network
    config = read_config(name).model.network.to_dict()
    levels = min(config["neck"].get("num_levels", 1), 2)
    maps = 1 if "two_stage" in name else levels
    config["backbone"].update(depth=18, strides=(8, 16, 32)[-maps:], weights=None)
    config["neck"].update(in_channels=[128, 256, 512][-maps:], out_channels=16)
    if levels > 1:
        config["neck"].update(num_levels=levels)
        config["transformer"].update(num_levels=levels)
    if config["neck"].get("norm_groups", 32):
        config["neck"]["norm_groups"] = 4
    config["position_encoding"].update(num_feats=8)
    config["transformer"].update(
        embed_dims=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, ffn_dims=16
    )
    config.update(num_classes=4, num_queries=9)
    network = build(config, MODELS).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return network


def metadata(inputs, outputs):
    return ExportMetadata("onnx", "fp32", "", ["a"], [1], [], [], [], False, {}, False, None, inputs, outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ARCHITECTURES, *TINY_NETWORKS])
def test_every_architecture_runs_in_onnxruntime_at_any_size_and_batch(name):
    network = small(name)
    graph, inputs = DetectionGraph(network, None).eval(), GraphInputs.of(None, padding_mask=False)
    model = to_onnx(trace(graph, inputs), metadata(["images"], list(graph.outputs)), [], 20)
    opened = session(model.SerializeToString())
    for batch, height, width in ((1, 65, 96), (3, 200, 131)):
        x = torch.randn(batch, 3, height, width)
        with torch.no_grad():
            expected = network(x)
        logits, boxes = opened.run(None, {"images": x.numpy()})
        np.testing.assert_allclose(logits, expected.logits, atol=1e-3)
        np.testing.assert_allclose(boxes, expected.boxes, atol=1e-3)


def test_a_padding_mask_can_be_an_input():
    network = small("detr_r50")
    graph, inputs = DetectionGraph(network, None).eval(), GraphInputs.of((96, 128), padding_mask=True)
    model = to_onnx(trace(graph, inputs), metadata(["images", "padding_mask"], ["logits", "boxes"]), [], 20)
    x, mask = torch.randn(1, 3, 96, 128), torch.zeros(1, 96, 128, dtype=torch.bool)
    mask[:, 50:] = True
    with torch.no_grad():
        expected, without = network(x, mask), network(x)
    found = session(model.SerializeToString()).run(None, {"images": x.numpy(), "padding_mask": mask.numpy()})
    np.testing.assert_allclose(found[1], expected.boxes, atol=1e-3)
    assert (expected.boxes - without.boxes).abs().max() > 1e-3
