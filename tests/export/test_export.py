"""Exported files: the same detections as the network, and a verifier that notices when they are not."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from detr_kit import Detector
from detr_kit.checkpoints import write_checkpoint
from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.data import write_shapes
from detr_kit.errors import InputError
from detr_kit.export import (
    ExportedDetector,
    ExportOptions,
    VerificationSet,
    export_detector,
    report_text,
    verify_export,
)
from detr_kit.export.compare import match
from detr_kit.export.export import network_inputs
from detr_kit.export.graph import DetectionGraph, GraphInputs
from detr_kit.export.onnx_format import session, set_metadata, to_onnx
from detr_kit.export.quantize import layer_of, quantizable_nodes, quantize
from detr_kit.export.torch_format import trace
from detr_kit.models import ResNet
from detr_kit.models.layers.fuse import fuse
from detr_kit.registry import MODELS, build
from detr_kit.structures import Prediction
from detr_kit.zoo import build_network

from ..places import TINY, TINY_D_FINE, TINY_RT_DETR, TINY_RT_DETR_V2
from ..small_models import shake

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
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


@pytest.fixture(scope="module")
def detector():
    return Detector(None, "builtin", device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve held-out pictures and what is on them."""
    folder = tmp_path_factory.mktemp("held_out")
    write_shapes(folder, num_train=0, num_val=12, seed=5)
    return VerificationSet.from_coco(folder / "val.json", folder / "val")


@pytest.fixture(scope="module")
def onnx_file(detector, tmp_path_factory):
    """The builtin detector at its own size; free sizes take longer and are tested on small networks."""
    path = tmp_path_factory.mktemp("onnx") / "shapes.onnx"
    return export_detector(detector, path, ExportOptions("onnx", static_size=(128, 128)))


@pytest.fixture(scope="module")
def tiny_detector(tmp_path_factory):
    """The tests' smallest network with random weights, from a checkpoint."""
    torch.manual_seed(0)
    network = build(read_config(TINY).model.network.to_dict(), MODELS)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    write_checkpoint(path, network.state_dict(), {})
    return Detector(TINY, path, device="cpu", class_names=["a", "b", "c", "d", "e"])


@pytest.mark.parametrize("norm", ["frozen", "batch"])
@pytest.mark.parametrize("depth", [18, 50])
def test_folding_batch_norm_changes_nothing(norm, depth):
    backbone = ResNet(depth=depth, norm=norm).eval()
    for name, buffer in backbone.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    folded = fuse(backbone)
    assert not any("bn" in name for name, _ in folded.named_parameters())
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for ours, expected in zip(folded(x), backbone(x), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ARCHITECTURES, *TINY_NETWORKS])
def test_every_architecture_runs_in_onnxruntime_at_any_size_and_batch(name):
    network = small(name)
    graph, inputs = DetectionGraph(network, None).eval(), GraphInputs.of(None, padding_mask=False)
    model = to_onnx(trace(graph, inputs), _metadata(["images"], list(graph.outputs)), [], 20)
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
    model = to_onnx(trace(graph, inputs), _metadata(["images", "padding_mask"], ["logits", "boxes"]), [], 20)
    x, mask = torch.randn(1, 3, 96, 128), torch.zeros(1, 96, 128, dtype=torch.bool)
    mask[:, 50:] = True
    with torch.no_grad():
        expected, without = network(x, mask), network(x)
    found = session(model.SerializeToString()).run(None, {"images": x.numpy(), "padding_mask": mask.numpy()})
    np.testing.assert_allclose(found[1], expected.boxes, atol=1e-3)
    assert (expected.boxes - without.boxes).abs().max() > 1e-3


def test_an_exported_detector_is_called_like_the_detector(detector, onnx_file, images):
    exported = ExportedDetector(onnx_file)
    assert exported.class_names == detector.class_names
    sources = list(images.images[:3])
    expected, found = detector(sources, score_threshold=0), exported(sources, score_threshold=0)
    together = exported(sources, score_threshold=0, batch_size=3)
    torch.testing.assert_close(together[2].boxes, found[2].boxes, atol=1e-2, rtol=0)
    # A file of fixed size takes any image; boxes are pixels of the original.
    large = np.asarray(Image.open(images.images[0]).resize((512, 256)))
    scaled = exported(large, score_threshold=0.3).boxes / torch.tensor([4, 2, 4, 2])
    torch.testing.assert_close(scaled[:1], detector(images.images[0]).boxes[:1], atol=4, rtol=0)
    for ours, theirs in zip(expected, found, strict=True):
        torch.testing.assert_close(theirs.scores, ours.scores, atol=1e-3, rtol=0)
    confident = detector(images.images[0], score_threshold=0.3)
    again = exported(images.images[0], score_threshold=0.3)
    assert len(confident) > 0
    assert again.class_names == confident.class_names
    torch.testing.assert_close(again.boxes, confident.boxes, atol=1e-2, rtol=0)
    assert json.loads(again.to_json())["detections"][0]["category_id"] == int(confident.labels[0]) + 1


def test_the_verifier_passes_a_sound_file(detector, onnx_file, images):
    found = verify_export(detector, onnx_file, images, repeats=1)
    assert found.passed, found.failures
    assert found.ap[0] == pytest.approx(found.ap[1], abs=1e-3)
    assert found.ap[0] > 0.5
    assert found.matches.found == found.matches.total > 20
    assert len(found.layers) > 50
    assert max(layer.error for layer in found.layers) < 1e-3
    text = report_text(found)
    assert "verification passed" in text
    assert "onnx, fp32" in text
    json.dumps(found.to_dict())


def test_the_verifier_names_the_layer_that_was_spoilt(detector, onnx_file, images, tmp_path):
    model, layer = onnx.load(onnx_file), "neck.encoder_layers.0.ffn.linear2"
    (bias,) = (t for t in model.graph.initializer if t.name == f"network.{layer}.bias")
    spoilt = onnx.numpy_helper.to_array(bias) + 3 * np.arange(128, dtype=np.float32) / 128
    bias.CopyFrom(onnx.numpy_helper.from_array(spoilt, bias.name))
    onnx.save(model, tmp_path / "spoilt.onnx")
    found = verify_export(detector, tmp_path / "spoilt.onnx", images, repeats=1)
    assert not found.passed
    assert found.first_layer.name == layer
    assert "VERIFICATION FAILED" in report_text(found)
    assert layer in report_text(found)


def test_int8_keeps_the_detections_and_leaves_sensitive_layers_alone(detector, onnx_file, images, tmp_path):
    options = ExportOptions("onnx", int8=True)
    exported = ExportedDetector(onnx_file)
    model = onnx.load(onnx_file)
    nodes = quantizable_nodes(model)
    batches = (network_inputs(detector, image, options) for image in images.images)
    quantised = quantize(model, batches)
    by_name = {node.name: node for node in quantised.graph.node}
    for name, layer in nodes.items():
        if name in by_name and by_name[name].op_type in ("Conv", "MatMul", "Gemm"):
            is_float = not any("DequantizeLinear" in value for value in by_name[name].input)
            assert is_float == any(part in layer for part in options.keep_float), layer
    set_metadata(quantised, exported.metadata, [])
    onnx.save(quantised, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.5 * onnx_file.stat().st_size
    found = verify_export(detector, tmp_path / "int8.onnx", images, repeats=1)
    assert found.matches.mean_iou > 0.85
    assert found.ap[1] > found.ap[0] - 0.05
    with pytest.raises(InputError, match="no layer of this network has such a name"):
        quantize(model, [], ["no_such_layer"])


def test_layers_of_nodes_are_known(onnx_file):
    layers = {layer_of(node) for node in onnx.load(onnx_file).graph.node}
    assert {"backbone.stages.1.blocks.0.layers.0.0", "decoder.layers.0.cross_attn.sampling_offsets"} <= layers


@pytest.mark.parametrize("op", ["reference", "native"])
def test_a_torch_program_is_saved_and_read_back(tiny_detector, tmp_path, op):
    options = ExportOptions("torch-export", op=op, static_size=(96, 128), postprocess=op == "reference")
    path = export_detector(tiny_detector, tmp_path / "tiny.pt2", options)
    program = torch.export.load(path)
    calls = [node for node in program.graph.nodes if "detr_kit.ms_deform_attn" in str(node.target)]
    assert len(calls) == (3 if op == "native" else 0)
    write_shapes(tmp_path, num_train=0, num_val=2, image_size=96)
    found = verify_export(tiny_detector, path, VerificationSet.from_folder(tmp_path / "val"), repeats=1)
    assert found.format == "torch-export"
    assert len(found.layers) > 20
    assert max(layer.error for layer in found.layers) < 1e-3
    exported = ExportedDetector(path)
    assert exported.class_names == ("a", "b", "c", "d", "e")
    assert exported(np.zeros((96, 128, 3), np.uint8), score_threshold=0).scores.shape == (60,)


def test_half_precision_keeps_boxes_and_scores_in_float32(tiny_detector):
    graph = DetectionGraph(tiny_detector.network, tiny_detector.postprocessor, torch.float16).eval()
    inputs = GraphInputs.of((96, 128), padding_mask=False)
    model = to_onnx(trace(graph, inputs), _metadata(["images"], list(graph.outputs)), [], 20)
    kinds = {onnx.TensorProto.DataType.Name(t.data_type) for t in model.graph.initializer if t.dims}
    assert "FLOAT16" in kinds
    x = torch.randn(2, 3, 96, 128)
    scores, _, boxes = session(model.SerializeToString()).run(None, {"images": x.numpy()})
    assert scores.dtype == boxes.dtype == np.float32
    with torch.no_grad():
        expected = tiny_detector.postprocessor.select(tiny_detector.network(x))
    np.testing.assert_allclose(scores, expected[0], atol=0.01)


def test_openvino_gives_the_same(detector, onnx_file, images, tmp_path):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    from detr_kit.export.openvino_format import write_openvino

    model, metadata = onnx.load(onnx_file), ExportedDetector(onnx_file).metadata
    write_openvino(model, ["neck.projections.0.conv"], tmp_path / "shapes.xml", metadata)
    found = verify_export(detector, tmp_path / "shapes.xml", images, repeats=1)
    assert found.passed, found.failures
    assert [layer.name for layer in found.layers] == ["neck.projections.0.conv"]


def test_matching_ignores_order_and_counts_what_is_lost():
    corners = torch.rand(20, 2) * 0.5
    boxes = torch.cat((corners, corners + 0.2), dim=1)
    ours = Prediction(torch.linspace(0.9, 0.4, 20), torch.arange(20) % 3, boxes)
    order = torch.randperm(20)
    theirs = Prediction(*(part[order] for part in ours))
    same = match([ours], [theirs], 0.5)
    assert same.total == same.found == int((ours.scores >= 0.5).sum())
    assert same.mean_iou == pytest.approx(1)
    assert same.boxes.largest == 0
    broken = Prediction(theirs.scores, theirs.labels, torch.full_like(boxes, float("nan")))
    lost = match([ours], [broken], 0.5)
    assert (lost.found, lost.mean_iou) == (0, 0)
    assert match([ours], [Prediction(*(part[:0] for part in ours))], 0.5).found == 0


def test_matching_takes_the_detection_and_not_its_faint_duplicate():
    box, moved, close = [0.2, 0.2, 0.6, 0.6], [0.2, 0.2, 0.6, 0.62], [0.2, 0.2, 0.6, 0.61]
    ours = Prediction(torch.tensor([0.9]), torch.tensor([1]), torch.tensor([box]))
    theirs = Prediction(torch.tensor([0.85, 0.02]), torch.tensor([1, 1]), torch.tensor([moved, close]))
    assert match([ours], [theirs], 0.5).scores.largest == pytest.approx(0.05)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--format", "torchscript", "-o", "x.ts"], "torchscript is not offered"),
    (["--format", "tflite", "-o", "x"], "it must be one of onnx, torch-export, aoti, openvino"),
    (["--format", "onnx", "-o", "x.pt2"], "ends in .onnx"),
    (["--format", "onnx", "-o", "x.onnx", "--int8"], "--calibration DIR"),
    (["--format", "onnx", "-o", "x.onnx", "--int8", "--half"], "exclude one another"),
    (["--format", "aoti", "-o", "x.aoti", "--int8"], "use onnx or openvino"),
    (["--format", "onnx", "-o", "x.onnx", "--op", "native"], "only torch-export and aoti"),
    (["--format", "onnx", "-o", "x.onnx", "--opset", "11"], "opset=11; it must be in [18, 23]"),
    (["--format", "onnx", "-o", "x.onnx", "--static", "32", "640"], "65 or more, in pixels"),
    (["--format", "onnx", "-o", "x.onnx", "--verify", "a.json"], "needs --images"),
    (["--format", "onnx", "-o", "x.onnx", "--images", "no_such_folder"], "no folder with images"),
])  # fmt: skip
def test_what_cannot_be_exported_is_said_at_once(arguments, message, capsys):
    assert main(["export", "--checkpoint", "builtin", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "content", "message"), [
    ("weights.pth", b"x", "an exported file ends in"),
    ("missing.onnx", None, "no such file"),
    ("broken.onnx", b"no model", "it cannot be read as .onnx"),
    ("broken.pt2", b"no archive", "it cannot be read as .pt2"),
])  # fmt: skip
def test_what_is_no_exported_file_is_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings(), pytest.raises(InputError, match=message):
        ExportedDetector(tmp_path / name)


def _metadata(inputs, outputs):
    from detr_kit.export.metadata import ExportMetadata

    return ExportMetadata("onnx", "fp32", "", ["a"], [1], [], [], [], False, {}, False, None, inputs, outputs)


@pytest.mark.parametrize("opset", [0, 17, 99, 20.5, True])
def test_opsets_are_those_that_are_written(opset):
    with pytest.raises(InputError, match=r"opset=.*; it must be .*\[18, 23\]"):
        ExportOptions("onnx", opset=opset)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--opset", "99"], ["--static", "-1", "640"], ["--limit", "0"], ["--calibration-limit", "0"],
        ["--max-ap-drop", "5"], ["--min-iou", "nan"], ["--max-score-drift", "-1"],
        ["--report", "no/where.json"],
    ],
)  # fmt: skip
def test_a_refused_export_leaves_nothing_behind(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    command = ["export", "--checkpoint", "builtin", "--format", "onnx", "-o", "out/deep/a.onnx"]
    assert main([*command, *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_an_export_that_ends_early_leaves_no_half_file(tmp_path, monkeypatch, stop):
    from detr_kit.export import export

    def write(program, path, metadata):
        path.write_bytes(b"half a fi")
        raise stop

    monkeypatch.setattr(export, "trace", lambda *_: None)
    monkeypatch.setattr(export, "write_program", write)
    detector = Detector(checkpoint="builtin", device="cpu")
    with pytest.raises(stop):
        export.export_detector(detector, tmp_path / "out" / "a.pt2", ExportOptions("torch-export"))
    assert list(tmp_path.iterdir()) == []
