"""`patch` gives other packages' models our op: equal outputs and gradients, and everything else as it was."""

import copy
import functools
import importlib
import sys

import pytest
import torch
from torch import nn

from detr_kit.errors import InputError
from detr_kit.ops import ms_deform_attn, patch
from detr_kit.ops.patch import _function_v2
from detr_kit.ops.reference import ms_deform_attn_reference

transformers = pytest.importorskip("transformers")

SHAPES = [(6, 8), (3, 4), (2, 2)]
ROWS = sum(height * width for height, width in SHAPES)


def _attention(module, class_name, **settings):
    """One attention layer of transformers, made from a config of these settings where it takes one."""
    source = importlib.import_module(f"transformers.models.{module}.modeling_{module}")
    layer = getattr(source, class_name)
    if "embed_dim" in settings:
        return layer(**settings)
    config, arguments = settings.pop("config"), settings.pop("arguments", {})
    return layer(getattr(transformers, config)(**settings), **arguments)


_PIXEL_DECODER = dict(embed_dim=32, num_heads=2, n_levels=3, n_points=4)
_HEADS = {"num_heads": 2, "n_points": 4}
LAYERS = {
    "Deformable DETR": dict(
        module="deformable_detr", class_name="DeformableDetrMultiscaleDeformableAttention",
        config="DeformableDetrConfig", d_model=32, num_feature_levels=3, arguments=_HEADS),
    "RT-DETR": dict(
        module="rt_detr", class_name="RTDetrMultiscaleDeformableAttention",
        config="RTDetrConfig", d_model=32, num_feature_levels=3, arguments=_HEADS),
    "RT-DETRv2": dict(
        module="rt_detr_v2", class_name="RTDetrV2MultiscaleDeformableAttention",
        config="RTDetrV2Config", d_model=32, decoder_attention_heads=2, decoder_n_levels=3),
    "D-FINE": dict(
        module="d_fine", class_name="DFineMultiscaleDeformableAttention",
        config="DFineConfig", d_model=32, decoder_attention_heads=2, decoder_n_points=[3, 6, 2]),
    "Grounding DINO": dict(
        module="grounding_dino", class_name="GroundingDinoMultiscaleDeformableAttention",
        config="GroundingDinoConfig", d_model=32, num_feature_levels=3, arguments=_HEADS),
    "OmDet-Turbo": dict(
        module="omdet_turbo", class_name="OmDetTurboMultiscaleDeformableAttention",
        config="OmDetTurboConfig", d_model=32, num_feature_levels=3, arguments=_HEADS),
    "Mask2Former": dict(
        module="mask2former", class_name="Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention",
        **_PIXEL_DECODER),
    "OneFormer": dict(
        module="oneformer", class_name="OneFormerPixelDecoderEncoderMultiscaleDeformableAttention",
        **_PIXEL_DECODER),
}  # fmt: skip


def _gradients(module, output):
    """Sum of the output's squares to every parameter that it depends on."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(output.square().sum(), parameters.values(), allow_unused=True)
    return {name: g for name, g in zip(parameters, found, strict=True) if g is not None}


def _assert_equal(ours, theirs):
    (our_output, our_gradients), (their_output, their_gradients) = ours, theirs
    torch.testing.assert_close(our_output, their_output, rtol=1e-4, atol=1e-5)
    assert our_gradients.keys() == their_gradients.keys()
    most = max(float(wanted.abs().max()) for wanted in their_gradients.values())  # some are rounding only
    for name, wanted in their_gradients.items():
        atol = 1e-4 * float(wanted.abs().max()) + 1e-6 * most
        torch.testing.assert_close(our_gradients[name], wanted, rtol=1e-3, atol=atol, msg=name)


def _layer_and_inputs(name):
    layer = _attention(**copy.deepcopy(LAYERS[name]))
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    inputs = dict(
        hidden_states=torch.randn(2, 5, 32),
        encoder_hidden_states=torch.randn(2, ROWS, 32),
        reference_points=torch.rand(2, 5, 1, 4).expand(2, 5, 1 if name in ("RT-DETRv2", "D-FINE") else 3, 4),
        spatial_shapes=torch.tensor(SHAPES),
        spatial_shapes_list=SHAPES,
        level_start_index=torch.tensor([0, 48, 60]),
    )
    if name == "Mask2Former":
        del inputs["spatial_shapes"]
    return layer, inputs


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer(name, monkeypatch):
    layer, inputs = _layer_and_inputs(name)

    def run():
        output = layer(**inputs)[0]
        return output, _gradients(layer, output)

    theirs = run()
    patched = patch(layer)
    assert len(patched.modules) == 1
    _assert_equal(run(), theirs)
    with monkeypatch.context() as without_ours:
        without_ours.setattr(sys.modules["detr_kit.ops.patch"], "ms_deform_attn", None)
        with pytest.raises(TypeError, match="not callable"):
            layer(**inputs)
    patched.undo()
    assert torch.equal(layer(**inputs)[0], theirs[0])


@pytest.mark.parametrize("model", ["lw_detr", "rf_detr", "mm_grounding_dino", "pp_doclayout_v3"])
def test_the_module_that_holds_the_op(model):
    source = pytest.importorskip(f"transformers.models.{model}.modeling_{model}")
    layer = source.MultiScaleDeformableAttention()
    points = torch.rand(2, 5, 2, 3, 4, 2), torch.rand(2, 5, 2, 3, 4)
    inputs = (
        torch.randn(2, ROWS, 2, 16),
        torch.tensor(SHAPES),
        SHAPES,
        torch.tensor([0, 48, 60]),
        *points,
        64,
    )
    theirs = layer(*inputs)
    with patch(layer):
        torch.testing.assert_close(layer(*inputs), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Deformable DETR", "RT-DETRv2", "D-FINE"])
def test_a_patched_layer_compiles(name):
    layer, inputs = _layer_and_inputs(name)
    wanted = layer(**inputs)[0]
    with patch(layer):
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(**inputs)[0], wanted, rtol=1e-4, atol=1e-5)


def _deformable_detr():
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.DeformableDetrConfig(
        backbone_config=backbone, d_model=32, encoder_layers=2, decoder_layers=2, num_queries=10,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        num_labels=4, with_box_refine=True,
    )  # fmt: skip
    return transformers.DeformableDetrForObjectDetection(config).eval(), 4


def _rt_detr():
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=32, encoder_in_channels=[8, 16, 16], d_model=32,
        decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, decoder_in_channels=[32, 32, 32], num_queries=10, num_labels=4,
    )  # fmt: skip
    return transformers.RTDetrForObjectDetection(config).eval(), 2


@pytest.fixture(scope="module", params=[_deformable_detr, _rt_detr], ids=["Deformable DETR", "RT-DETR"])
def model(request):
    """A small random model of transformers, and how many modules hold the op."""
    torch.manual_seed(0)
    network, count = request.param()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "sampling_offsets" in name or "attention_weights" in name:
                parameter.normal_(std=0.3)
    return network, count


def _run(network):
    output = network(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
    together = torch.cat((output.logits, output.pred_boxes), -1)
    return together, _gradients(network, together)


def test_a_whole_model(model):
    network, count = model
    names = list(network.state_dict())
    theirs = _run(network)
    with patch(network) as patched:
        assert len(patched.modules) == count
        assert all(name in repr(patched) for name in patched.modules)
        _assert_equal(_run(network), theirs)
        assert list(network.state_dict()) == names
        twin = copy.deepcopy(network)  # as the moving average of training makes one
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        _assert_equal(_run(network), theirs)
    again = _run(network)
    assert torch.equal(again[0], theirs[0])
    assert all("forward" not in vars(module) for module in network.modules())


# mmcv cannot be installed here (no wheel for this torch): a stand-in with its names and signatures.


class MultiScaleDeformableAttnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, shapes, starts, locations, weights, im2col_step):
        raise AssertionError("compiled for a GPU")


def multi_scale_deformable_attn_pytorch(value, value_spatial_shapes, sampling_locations, attention_weights):
    return ms_deform_attn_reference(value, value_spatial_shapes, None, sampling_locations, attention_weights)


def _deprecated(function):
    @functools.wraps(function)
    def forward(*args, **kwargs):
        return function(*args, **kwargs)

    return forward


class MultiScaleDeformableAttention(nn.Module):
    """mmcv's, as far as the op: sequence first, the residual inside."""

    im2col_step = 64

    def __init__(self):
        super().__init__()
        self.sampling_offsets, self.attention_weights = nn.Linear(32, 48), nn.Linear(32, 24)
        self.value_proj, self.output_proj = nn.Linear(32, 32), nn.Linear(32, 32)

    @_deprecated
    def forward(self, query, value=None, *, reference_points, spatial_shapes, level_start_index, **kwargs):
        identity, query, value = query, query.permute(1, 0, 2), value.permute(1, 0, 2)
        value = self.value_proj(value).view(2, ROWS, 2, 16)
        offsets = self.sampling_offsets(query).view(2, 5, 2, 3, 4, 2)
        weights = self.attention_weights(query).view(2, 5, 2, 12).softmax(-1).view(2, 5, 2, 3, 4)
        locations = reference_points[:, :, None, :, None] + offsets / spatial_shapes.flip(-1)[:, None]
        if value.is_cuda or kwargs.get("as_on_a_gpu"):
            output = MultiScaleDeformableAttnFunction.apply(
                value, spatial_shapes, level_start_index, locations, weights, self.im2col_step
            )
        else:
            output = multi_scale_deformable_attn_pytorch(value, spatial_shapes, locations, weights)
        return self.output_proj(output).permute(1, 0, 2) + identity


class MSDeformAttnFunction(MultiScaleDeformableAttnFunction):
    pass


class MSDeformAttn(MultiScaleDeformableAttention):
    """The original code's: no way without a GPU."""

    def forward(self, query, value, reference_points, spatial_shapes, level_start_index):
        value = value.permute(1, 0, 2).reshape(2, ROWS, 2, 16)
        locations = reference_points[:, :, None, :, None].expand(2, 5, 2, 3, 4, 2)
        weights = self.attention_weights(query.permute(1, 0, 2)).view(2, 5, 2, 3, 4)
        return MSDeformAttnFunction.apply(value, spatial_shapes, level_start_index, locations, weights, 64)


@pytest.fixture
def inputs():
    return dict(
        query=torch.randn(5, 2, 32), value=torch.randn(ROWS, 2, 32), reference_points=torch.rand(2, 5, 3, 2),
        spatial_shapes=torch.tensor(SHAPES), level_start_index=torch.tensor([0, 48, 60]),
    )  # fmt: skip


def test_mmcv(inputs):
    model = nn.Sequential(MultiScaleDeformableAttention(), nn.Linear(2, 2), MultiScaleDeformableAttention())
    theirs = model[0](**inputs)
    with patch(model) as patched:
        assert patched.modules == ["0", "2"]
        for extra in ({}, {"as_on_a_gpu": True}):
            ours = model[0](**inputs, **extra)
            _assert_equal(
                (ours, _gradients(model[0], ours)), (theirs, _gradients(model[0], model[0](**inputs)))
            )
    assert torch.equal(model[0](**inputs), theirs)


def test_the_original_code(inputs):
    model = MSDeformAttn()
    with pytest.raises(AssertionError, match="compiled for a GPU"):
        model(**inputs)
    with patch(model):
        assert model(**inputs).shape == (2, 5, 32)


def test_points_that_differ_from_level_to_level():
    """Equal to the op on each level by itself."""
    counts, value = [3, 6, 2], torch.randn(2, ROWS, 4, 8)
    locations, weights = torch.rand(2, 5, 4, 11, 2), torch.rand(2, 5, 4, 11)
    found = _function_v2(value, SHAPES, locations, weights, counts)
    parts = zip(
        SHAPES, value.split([h * w for h, w in SHAPES], 1), locations.split(counts, 3),
        weights.split(counts, 3), strict=True,
    )  # fmt: skip
    levels = [
        ms_deform_attn(part, [shape], None, places.unsqueeze(3), weight.unsqueeze(3))
        for shape, part, places, weight in parts
    ]
    torch.testing.assert_close(found, sum(levels))


def test_where_there_is_nothing_to_patch():
    with pytest.raises(InputError, match="Linear has no deformable attention that is known here"):
        patch(nn.Linear(2, 2))
    discrete = _attention(**LAYERS["RT-DETRv2"] | {"decoder_method": "discrete"})
    with pytest.raises(InputError, match="RTDetrV2MultiscaleDeformableAttention has no deformable attention"):
        patch(discrete)
    with pytest.raises(InputError, match="a str is no torch module"):
        patch("detr")
