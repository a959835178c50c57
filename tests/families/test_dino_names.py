"""DINO's weights under the names of its authors, of mmdetection and of detrex."""

import pytest
import torch

from detr_kit import build_network
from detr_kit.checkpoints import CheckpointFile, convert_state_dict, detect_format
from detr_kit.checkpoints.convert import conversion_notes
from detr_kit.families import FORMATS
from detr_kit.fine_tune.base import base_of
from detr_kit.models import DINO, ChannelMapper, DeformableTransformer, SinePositionEncoding, TimmBackbone
from detr_kit.models.queries.contrastive_denoising import ContrastiveDenoising

from ..parity.reference_model import Reference

# As they are in the projects' own code: names of one tensor of each kind.
MMDET = {
    "backbone.layer1.0.conv1.weight": (64, 64, 1, 1),
    "neck.convs.2.conv.weight": (256, 2048, 1, 1),
    "neck.extra_convs.0.gn.weight": (256,),
    "level_embed": (4, 256),
    "encoder.layers.5.self_attn.sampling_offsets.weight": (256, 256),
    "encoder.layers.0.ffn.layers.0.0.weight": (2048, 256),
    "encoder.layers.0.norms.1.bias": (256,),
    "decoder.layers.0.self_attn.attn.in_proj_weight": (768, 256),
    "decoder.layers.0.cross_attn.value_proj.weight": (256, 256),
    "decoder.layers.5.norms.2.weight": (256,),
    "decoder.ref_point_head.layers.0.weight": (256, 512),
    "decoder.norm.weight": (256,),
    "query_embedding.weight": (900, 256),
    "memory_trans_fc.weight": (256, 256),
    "memory_trans_norm.weight": (256,),
    "dn_query_generator.label_embedding.weight": (91, 256),
    "bbox_head.cls_branches.6.weight": (91, 256),
    "bbox_head.reg_branches.6.4.weight": (4, 256),
}
DETREX = {
    "backbone.stem.conv1.norm.running_var": (64,),
    "backbone.res2.0.conv1.weight": (64, 64, 1, 1),
    "backbone.res5.0.shortcut.norm.weight": (2048,),
    "neck.convs.2.conv.weight": (256, 2048, 1, 1),
    "neck.extra_convs.0.norm.bias": (256,),
    "transformer.level_embeds": (4, 256),
    "transformer.encoder.layers.5.attentions.0.sampling_offsets.weight": (256, 256),
    "transformer.encoder.layers.0.ffns.0.layers.1.weight": (256, 2048),
    "transformer.decoder.layers.0.attentions.0.attn.in_proj_weight": (768, 256),
    "transformer.decoder.layers.0.attentions.1.value_proj.weight": (256, 256),
    "transformer.decoder.layers.5.norms.2.weight": (256,),
    "transformer.decoder.ref_point_head.layers.0.weight": (256, 512),
    "transformer.tgt_embed.weight": (900, 256),
    "transformer.enc_output_norm.weight": (256,),
    "label_enc.weight": (91, 256),
    "class_embed.6.weight": (91, 256),
    "transformer.decoder.bbox_embed.6.layers.2.weight": (4, 256),
}


@pytest.fixture(scope="module")
def official():
    return Reference("dino_4scale_r50").state_dict()


def _same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def _without_counters(state):
    return {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}


@pytest.mark.parametrize(("format", "expected"), [("mmdet", MMDET), ("detrex", DETREX)])
def test_names_are_the_projects_own(official, format, expected):
    theirs = convert_state_dict(official, to=format)
    assert {key: tuple(theirs[key].shape) for key in expected} == expected
    assert detect_format(theirs) == format
    variant = {"mmdet": "", "detrex": "_detrex"}[format]  # whose positions are others
    assert detect_format(theirs).architecture.config_name == f"dino_r50_4scale{variant}"


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "huggingface"])
def test_they_come_back_exactly(official, format):
    ours = convert_state_dict(official)
    theirs = convert_state_dict(ours, to=format)
    back = _without_counters(convert_state_dict(theirs))
    if format in ("mmdet", "detrex"):  # a label row that nothing reads is not kept there
        ours["label_embed.weight"] = torch.cat((ours["label_embed.weight"][:-1], torch.zeros(1, 256)))
    _same(back, ours)
    _same(_without_counters(convert_state_dict(back, to=format)), _without_counters(theirs))


@pytest.mark.parametrize("format", ["mmdet", "detrex", "official"])
def test_heads_of_each_layer_stay_their_own(format):
    torch.manual_seed(0)
    network = DINO(
        TimmBackbone("resnet18"),
        ChannelMapper([128, 256, 512], 32, 4),
        SinePositionEncoding(16, 20),
        DeformableTransformer(32, 2, 1, 3, 32),
        num_classes=5,
        num_queries=7,
        denoising=ContrastiveDenoising(4),
        share_heads=False,
    )
    for head in (*network.class_heads, *network.box_heads):
        torch.nn.init.normal_(next(head.parameters()))
    with torch.no_grad():
        network.label_embed.weight[-1] = 0
    ours = {key: tensor for key, tensor in network.state_dict().items() if not key.startswith("backbone.")}
    ours["backbone.conv1.weight"] = torch.zeros(1)  # the names of this backbone are timm's own
    back = convert_state_dict(convert_state_dict(ours, to=format))
    _same(back, ours)
    assert not detect_format(ours).architecture.network["share_heads"]


def test_detrex_encodes_positions_otherwise_and_that_is_said(official):
    theirs = convert_state_dict(official, to="detrex")
    found = detect_format(theirs).architecture
    assert found.network_config()["position_encoding"]["temperature"] == 10000
    assert detect_format(official).architecture.network_config()["position_encoding"]["temperature"] == 20
    notes = conversion_notes(theirs, "official", "detrex", False)
    assert "model.position_embedding.temperature=20" in notes[0]
    back = conversion_notes(convert_state_dict(theirs), "detrex", "detr_kit", False)
    assert "set model.network.position_encoding to temperature=10000, offset=-0.5" in back[0]


@pytest.fixture(scope="module")
def swin():
    """Small in depth but for the backbone."""
    torch.manual_seed(0)
    options = dict(strict_img_size=False, always_partition=True)
    network = DINO(
        TimmBackbone("swin_tiny_patch4_window7_224", options=options, map_norm=True),
        ChannelMapper([192, 384, 768], 32, 4),
        SinePositionEncoding(16, 20),
        DeformableTransformer(32, 2, 1, 2, 32),
        num_classes=5,
        num_queries=7,
        denoising=ContrastiveDenoising(4),
    )
    with torch.no_grad():
        network.label_embed.weight[-1] = 0  # a row that nothing reads
    return network


def test_a_swin_transformer_has_the_authors_names(swin):
    """As in the original's `swin_transformer.py`."""
    ours = swin.state_dict()
    theirs = convert_state_dict(ours, to="official")
    swin_keys = {
        "backbone.0.patch_embed.proj.weight": (96, 3, 4, 4),
        "backbone.0.layers.0.downsample.reduction.weight": (192, 384),
        "backbone.0.layers.2.blocks.5.attn.relative_position_bias_table": (169, 12),
        "backbone.0.layers.2.blocks.5.attn.relative_position_index": (49, 49),
        "backbone.0.norm1.weight": (192,),
        "backbone.0.norm3.bias": (768,),
    }
    assert {key: tuple(theirs[key].shape) for key in swin_keys} == swin_keys
    index = theirs["backbone.0.layers.0.blocks.0.attn.relative_position_index"]
    own = swin.backbone.model.layers[0].blocks[0].attn.relative_position_index
    assert torch.equal(index.flatten(), own.flatten())
    assert detect_format(theirs) == "official"
    _same(convert_state_dict(theirs), ours)
    architecture = detect_format(ours).architecture
    assert architecture.config_name == "dino_swin_t_4scale"
    assert architecture.network_config()["backbone"]["name"] == "swin_tiny_patch4_window7_224"


def test_a_swin_transformer_has_mmdetections_names(swin):
    """As in its `swin.py`, whose `nn.Unfold` takes the four pixels that are merged channel by channel."""
    ours = swin.state_dict()
    theirs = convert_state_dict(ours, to="mmdet")
    keys = {
        "backbone.patch_embed.projection.weight": (96, 3, 4, 4),
        "backbone.patch_embed.norm.bias": (96,),
        "backbone.stages.0.downsample.reduction.weight": (192, 384),
        "backbone.stages.2.blocks.5.attn.w_msa.relative_position_bias_table": (169, 12),
        "backbone.stages.2.blocks.5.attn.w_msa.relative_position_index": (49, 49),
        "backbone.stages.2.blocks.5.attn.w_msa.qkv.weight": (1152, 384),
        "backbone.stages.3.blocks.1.ffn.layers.0.0.weight": (3072, 768),
        "backbone.stages.3.blocks.1.ffn.layers.1.weight": (768, 3072),
        "backbone.norm1.weight": (192,),
        "backbone.norm3.bias": (768,),
    }
    assert {key: tuple(theirs[key].shape) for key in keys} == keys
    assert not any(key.startswith("backbone.model.") for key in theirs)
    assert detect_format(theirs) == "mmdet"
    _same(convert_state_dict(theirs), ours)

    pixels = torch.randn(1, 6, 8, 96)
    merge, beginning = swin.backbone.model.layers[1].downsample, "backbone.stages.0.downsample."
    unfolded = torch.nn.functional.unfold(pixels.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
    normed = torch.nn.functional.layer_norm(
        unfolded, (384,), theirs[f"{beginning}norm.weight"], theirs[f"{beginning}norm.bias"]
    )
    merged = torch.nn.functional.linear(normed, theirs[f"{beginning}reduction.weight"])
    torch.testing.assert_close(merged.view(1, 3, 4, 192), merge(pixels), atol=1e-5, rtol=1e-4)


def test_the_swin_l_of_the_paper_is_recognised():
    with torch.device("meta"):
        network = build_network("dino_swin_l_4scale")
        state = dict(network.state_dict())
    assert detect_format(state).architecture.config_name == "dino_swin_l_4scale"
    assert sum(p.numel() for p in network.parameters()) == 217_230_066  # as of the original code
    file = CheckpointFile(convert_state_dict(state, to="official"), {})
    assert base_of(None, "dino_swin_l.pth", file).name == "dino_swin_l_4scale"
