"""Live peers: transformers runs beside detr-kit, and mmdet's recorded numbers are met."""

import json
import re

import pytest
import torch

from detr_kit import Detector, build_network
from detr_kit.categories import COCO_91
from detr_kit.checkpoints import (
    conversion_notes,
    convert_file,
    convert_state_dict,
    detect_format,
    read_checkpoint,
    write_checkpoint,
)
from detr_kit.cli import main
from detr_kit.config import read_config
from detr_kit.errors import InputError
from detr_kit.models.postprocess import SigmoidPostprocessor
from detr_kit.registry import MODELS, build

from ..places import REFERENCE
from .reference_model import SIZES, Reference, images_and_mask, targets

transformers = pytest.importorskip("transformers")
pytest.importorskip("timm")

SMALL = dict(
    d_model=64, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=48, decoder_ffn_dim=48, num_queries=9
)
CASES = {
    "detr": dict(),
    "detr dc5": dict(dilation=True, timm=True),
    "detr timm": dict(timm=True),
    "deformable": dict(num_feature_levels=4),
    "deformable timm": dict(num_feature_levels=4, timm=True),
    "deformable, two levels more": dict(num_feature_levels=5),
    "deformable single-scale": dict(num_feature_levels=1),
    "deformable single-scale dc5": dict(num_feature_levels=1, dilation=True, timm=True),
    "deformable refine": dict(num_feature_levels=4, with_box_refine=True),
    "deformable single-scale refine": dict(num_feature_levels=1, with_box_refine=True),
    "deformable two-stage": dict(with_box_refine=True, two_stage=True, two_stage_num_proposals=9),
    "deformable single-scale two-stage": dict(
        with_box_refine=True, two_stage=True, two_stage_num_proposals=9, num_feature_levels=1
    ),
    "conditional": dict(),
    "conditional timm": dict(timm=True),
    "dab": dict(timm=True),
    "dab, three patterns": dict(timm=True, num_patterns=3),
}
CLASSES = {"detr": "Detr", "deformable": "DeformableDetr", "conditional": "ConditionalDetr", "dab": "DabDetr"}


def _peer(case):
    """A small random model of transformers in eval mode."""
    options = dict(CASES[case])
    kind = case.replace(",", "").split()[0]
    one_map = kind != "deformable" or options.get("num_feature_levels") == 1
    if options.pop("timm", False):
        backbone = dict(use_timm_backbone=True, backbone="resnet50", use_pretrained_backbone=False)
    else:
        stages = ["stage4"] if one_map else ["stage2", "stage3", "stage4"]
        backbone = dict(
            use_timm_backbone=False,
            backbone=None,
            use_pretrained_backbone=False,
            backbone_config=transformers.ResNetConfig(out_features=stages),
        )
    name = CLASSES[kind]
    sizes = dict(SMALL, hidden_size=SMALL["d_model"]) if kind == "dab" else SMALL
    labels = {i: f"thing {i}" for i in range(7)}
    config = getattr(transformers, f"{name}Config")(
        **sizes, **backbone, **options, id2label=labels, label2id={v: k for k, v in labels.items()}
    )
    model = getattr(transformers, f"{name}ForObjectDetection")(config).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            _randomise(key, tensor)
    model.tie_weights()
    return model


def _randomise(key, tensor):
    if not tensor.is_floating_point():
        return
    if key.endswith("running_var"):
        tensor.uniform_(0.8, 1.2)
    elif tensor.dim() > 1:
        tensor.normal_(0, tensor[0].numel() ** -0.5)
    else:
        tensor.normal_(1.0 if key.endswith("weight") else 0.0, 0.1)


def _batch():
    images = torch.randn(2, 3, 97, 130)
    mask = torch.zeros(2, 97, 130, dtype=torch.bool)
    mask[1, 80:], mask[1, :, 100:] = True, True
    return images.masked_fill(mask[:, None], 0), mask


@torch.no_grad()
def _differences(network, peer):
    images, mask = _batch()
    ours = network(images, mask)
    theirs = peer(pixel_values=images, pixel_mask=(~mask).long())
    return (ours.logits - theirs.logits).abs().max().item(), (
        ours.boxes - theirs.pred_boxes
    ).abs().max().item()


@pytest.mark.parametrize("case", CASES)
def test_transformers_models_give_the_same_here_and_come_back(case, tmp_path):
    peer = _peer(case)
    state = peer.state_dict()
    found = detect_format(state)
    assert found == "huggingface"
    ours = convert_state_dict(state)
    dilation = CASES[case].get("dilation", False)
    network = build(found.architecture.network_config(dilation=dilation, num_queries=9), MODELS).eval()
    network.load_state_dict(ours)
    assert max(_differences(network, peer)) < 1e-4

    # Version 4's names, back from ours, hold the same numbers.
    again = convert_state_dict(convert_state_dict(ours, to="huggingface"))
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[key], ours[key]) for key in ours)

    # A folder as transformers writes it opens in the Detector.
    peer.save_pretrained(tmp_path / "theirs")
    detector = Detector(checkpoint=tmp_path / "theirs", device="cpu")
    assert detector.class_names == tuple(f"thing {i}" for i in range(7))
    assert max(_differences(detector.network, peer)) < 1e-4


@pytest.mark.parametrize(
    "case",
    [
        "detr dc5",
        "deformable timm",
        "deformable refine",
        "deformable two-stage",
        "conditional",
        "dab, three patterns",
    ],
)
def test_our_weights_open_in_transformers(case, tmp_path):
    peer = _peer(case)
    state = convert_state_dict(peer.state_dict())
    write_checkpoint(tmp_path / "ours.safetensors", state, {"classes": list("abcdefg")})
    dilation = CASES[case].get("dilation", False)
    convert_file(tmp_path / "ours.safetensors", "huggingface", tmp_path / "folder", dilation=dilation)
    if "two-stage" in case:  # the number of proposals is not in the weights: transformers would take 300
        config = json.loads((tmp_path / "folder" / "config.json").read_text())
        config["two_stage_num_proposals"] = 9
        (tmp_path / "folder" / "config.json").write_text(json.dumps(config))
    opened = transformers.AutoModelForObjectDetection.from_pretrained(tmp_path / "folder").eval()
    assert opened.config.id2label[0] == "a"
    images, mask = _batch()
    with torch.no_grad():
        a, b = (m(pixel_values=images, pixel_mask=(~mask).long()) for m in (peer, opened))
    assert (a.logits - b.logits).abs().max() < 1e-4
    assert (a.pred_boxes - b.pred_boxes).abs().max() < 1e-4


class TestMmdet:
    """The numbers of mmdet 3.3.0 (../shared/README.md)."""

    @pytest.fixture(params=["deformable_detr_r50", "deformable_detr_r50_refine"])
    def mmdet(self, request):
        return request.param, Reference(f"mmdet_{request.param}")

    def test_detections_and_losses(self, mmdet):
        name, reference = mmdet
        state = reference.state_dict()
        found = detect_format(state)
        assert found == "mmdet"
        assert found.architecture.config_name == name
        assert found.architecture.num_classes == 80
        network = build_network(name, num_classes=80).eval()
        network.load_state_dict(convert_state_dict(state), strict=False)
        output = network(*images_and_mask())
        with torch.no_grad():
            predictions = SigmoidPostprocessor(100)(output, SIZES)
        for i, (prediction, (height, width)) in enumerate(zip(predictions, SIZES, strict=True)):
            scores = reference.arrays[f"post{i}_scores"].sort(descending=True).values
            torch.testing.assert_close(prediction.scores, scores, atol=1e-4, rtol=0)
            limit = prediction.boxes.new_tensor([width, height, width, height])
            boxes = prediction.boxes.clamp(min=torch.zeros(4), max=limit)  # mmdet clips
            rows = torch.cat((boxes, 10 * prediction.labels[:, None].float()), 1)
            labels = 10 * reference.arrays[f"post{i}_labels"][:, None].float()
            expected = torch.cat((reference.arrays[f"post{i}_boxes"], labels), 1)
            assert torch.cdist(rows, expected, p=float("inf")).amin(0).max() < 0.05

        criterion = build(read_config(name).model.criterion.to_dict(), MODELS)
        contiguous = [{**t, "labels": t["labels"] % 80} for t in targets()]
        weighted = criterion.weighted(criterion(output, contiguous))
        kinds = {"loss_cls": "loss_ce", "loss_bbox": "loss_bbox", "loss_iou": "loss_giou"}
        for key, expected in reference.record["losses"].items():
            layer, _, kind = key.rpartition(".")
            ours = kinds[kind] + (f"_{layer[1:]}" if layer else "")
            assert weighted[ours].item() == pytest.approx(expected, rel=1e-4), key

    def test_names_come_back_exactly(self, mmdet):
        state = mmdet[1].state_dict()
        back = convert_state_dict(convert_state_dict(state), to="mmdet")
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)

    def test_a_bias_that_mmdet_leaves_out_is_named(self):
        official = Reference("deformable_detr_r50").state_dict()
        converted = convert_state_dict(official, to="mmdet")
        assert "neck.convs.0.conv.bias" in converted
        assert "model.neck.bias=True" in conversion_notes(converted, "official", "mmdet", False)[0]
        assert all(
            torch.equal(t, official[k]) for k, t in convert_state_dict(converted, to="official").items()
        )

    def test_its_dilation_is_named(self):
        for source, to in (("mmdet", "official"), ("official", "mmdet")):
            assert (
                "dilates"
                in conversion_notes({"bbox_head.fc_cls.weight": torch.zeros(1)}, source, to, True)[0]
            )

    def test_detr_and_two_stage_come_back_exactly(self):
        for name in ("detr_r50", "deformable_detr_r50_two_stage"):
            official = Reference(name).state_dict()
            through = convert_state_dict(convert_state_dict(official, to="mmdet"), to="official")
            assert through.keys() == official.keys()
            assert all(torch.equal(through[key], official[key]) for key in official)


class TestCoco80:
    def test_mmdets_rows_are_picked(self):
        official = Reference("deformable_detr_r50_two_stage").state_dict()
        picked = convert_state_dict(official, to="mmdet", classes="coco80")
        weight = official["class_embed.0.weight"]
        assert torch.equal(picked["bbox_head.cls_branches.0.weight"][0], weight[1])  # person
        assert torch.equal(picked["bbox_head.cls_branches.0.weight"][79], weight[90])  # toothbrush
        proposals = picked["bbox_head.cls_branches.6.weight"]
        assert torch.equal(proposals[0], official["class_embed.6.weight"][0])  # object or not
        detr = convert_state_dict(Reference("detr_r50").state_dict(), to="mmdet", classes="coco80")
        assert detr["bbox_head.fc_cls.weight"].shape == (81, 256)

    def test_other_classes_cannot_be_picked(self):
        state = build_network("deformable_detr_r50", num_classes=5).state_dict()
        with pytest.raises(InputError, match="these weights have 5 classes"):
            convert_state_dict(state, classes="coco80")
        with pytest.raises(InputError, match='must be "keep" or "coco80"'):
            convert_state_dict(state, classes="all")


@pytest.mark.parametrize("to", ["official", "mmdet", "huggingface", "detr_kit"])
@pytest.mark.parametrize("name", sorted(path.stem for path in (REFERENCE / "variants").glob("*.json")))
def test_every_variant_survives_every_format(name, to):
    state = Reference(name, REFERENCE / "variants").state_dict()
    ours = convert_state_dict(state)
    there = convert_state_dict(ours, to=to)
    assert detect_format(there) == to
    assert detect_format(there).architecture == detect_format(ours).architecture
    back = {k: t for k, t in convert_state_dict(there).items() if not k.endswith("num_batches_tracked")}
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)


def test_the_command_line_converts_and_verifies(tmp_path, capsys):
    source = tmp_path / "official.pth"
    torch.save({"model": Reference("deformable_detr_r50_refine").state_dict()}, source)
    folder = tmp_path / "hf"
    assert main(["convert", str(source), "--to", "huggingface", "-o", str(folder), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "official checkpoint of deformable_detr_r50_refine" in printed
    found = dict(re.findall(r"largest difference of (.+): (\S+)", printed))
    assert set(found) == {f"{k} ({w})" for k in ("logits", "boxes") for w in ("re-imported", "transformers")}
    assert all(float(value) < 1e-4 for value in found.values())
    assert json.loads((folder / "config.json").read_text())["id2label"]["1"] == "person"
    assert read_checkpoint(folder).metadata["classes"] == list(COCO_91.names)

    out = tmp_path / "mmdet.pth"
    assert (
        main(["convert", str(folder), "--to", "mmdet", "-o", str(out), "--classes", "coco80", "--verify"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "note: the neck's convolutions have a bias" in printed
    assert float(re.search(r"logits \(re-imported\): (\S+)", printed).group(1)) < 1e-4
    assert read_checkpoint(out).metadata["classes"][0] == "person"
    assert main(["convert", str(source), "--to", "huggingface", "-o", str(tmp_path / "x.pth")]) == 2
    assert "give a name without an ending" in capsys.readouterr().err


def test_a_model_the_papers_do_not_have_needs_its_name(tmp_path):
    write_checkpoint(tmp_path / "x.safetensors", build_network("deformable_detr_r18_shapes").state_dict(), {})
    with pytest.raises(InputError, match="name the model's config"):
        Detector(checkpoint=tmp_path / "x.safetensors")
