"""What the op promises at the edges: odd inputs, clear errors, non-finite numbers, tracing, autocast."""

import pytest
import torch
from torch.testing import assert_close

from detr_kit.ops import backend, ms_deform_attn, ms_deform_attn_fused

native = pytest.mark.skipif("cpu" not in backend._native_devices, reason="the native operator is not built")

SHAPES = [(9, 12), (5, 6), (3, 3)]
FLAT = [9, 12, 5, 6, 3, 3]


def classical(inputs, shapes=SHAPES, starts=None):
    return ms_deform_attn(
        inputs["value"], shapes, starts, inputs["sampling_locations"], inputs["attention_weights"]
    )


def fused(inputs, shapes=SHAPES):
    return ms_deform_attn_fused(
        inputs["value"],
        shapes,
        None,
        inputs["reference_points"],
        inputs["sampling_offsets"],
        inputs["attention_logits"],
    )


# ---- inputs ----


def test_level_shapes_come_as_a_tensor_or_as_pairs(random_inputs):
    inputs = random_inputs()
    expected = classical(inputs)
    starts = torch.tensor([0, 108, 138])
    for dtype in (torch.int64, torch.int32):
        assert torch.equal(classical(inputs, torch.tensor(SHAPES, dtype=dtype), starts), expected)


@native
def test_non_contiguous_inputs(random_inputs):
    inputs = random_inputs()
    strided = {name: tensor.transpose(0, 1).contiguous().transpose(0, 1) for name, tensor in inputs.items()}
    assert not strided["value"].is_contiguous()
    assert torch.equal(classical(strided), classical(inputs))
    assert torch.equal(fused(strided), fused(inputs))


@native
@pytest.mark.parametrize("empty", ["batch", "queries", "heads", "head_dim", "points"])
def test_empty_inputs(random_inputs, empty):
    inputs = random_inputs(**{empty: 0})
    for name in inputs:
        inputs[name].requires_grad_()
    for output in (classical(inputs), fused(inputs)):
        batch, _, heads, head_dim = inputs["value"].shape
        assert output.shape == (batch, inputs["sampling_locations"].shape[1], heads * head_dim)
        assert output.abs().sum() == 0
        output.sum().backward()


@native
def test_a_level_without_pixels(random_inputs):
    shapes = [(3, 4), (0, 5), (2, 2), (0, 0)]
    inputs = random_inputs([(3, 4), (1, 1), (2, 2), (1, 1)])
    inputs["value"] = inputs["value"][:, :16]
    weights = inputs["attention_weights"].clone()
    weights[:, :, :, [1, 3]] = 0
    expected = classical({**inputs, "attention_weights": weights}, shapes)
    assert_close(classical(inputs, shapes), expected)


@native
@pytest.mark.parametrize("head_dim", [16, 32])
def test_points_that_differ_by_level_are_padded_by_points_of_no_weight(random_inputs, head_dim):
    """As D-FINE's [3, 6, 3]: the same as sampling each level's own points."""
    inputs = random_inputs(points=(3, 6, 3), head_dim=head_dim)
    parts = inputs["value"].split([height * width for height, width in SHAPES], 1)
    expected = sum(
        ms_deform_attn(
            part, [shape], None, *(inputs[name][:, :, :, level : level + 1, :points] for name in
                                   ("sampling_locations", "attention_weights"))
        )
        for level, (part, shape, points) in enumerate(zip(parts, SHAPES, (3, 6, 3), strict=True))
    )  # fmt: skip
    assert_close(classical(inputs), expected)
    assert_close(fused(inputs), expected)


@native
@pytest.mark.parametrize("outside", [-1.0, 2.0, 1e30, float("inf"), float("nan")])
def test_points_outside_contribute_zero(random_inputs, outside):
    inputs = random_inputs()
    inputs["sampling_locations"] = torch.full_like(inputs["sampling_locations"], outside)
    assert classical(inputs).abs().max() == 0


@native
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("queries", [7, 150])
def test_non_finite_values_do_not_leak_through_zero_weights(random_inputs, bad, dtype, queries):
    inputs = random_inputs(dtype=dtype, head_dim=32, queries=queries)
    # the whole coarsest level is bad, and every point there switched off or off the map
    clean = inputs["value"].clone()
    inputs["value"][:, -9:] = bad
    clean[:, -9:] = 0
    inputs["attention_weights"][:, :, :, 2] = 0
    inputs["attention_logits"][:, :, :, 2] = -float("inf")
    for entry in (classical, fused):
        assert torch.equal(entry(inputs), entry({**inputs, "value": clean}))
    names = ("value", "sampling_offsets", "attention_logits", "reference_points")
    leaves = [inputs[name].requires_grad_() for name in names]
    for gradient in torch.autograd.grad(fused(inputs).float().sum(), leaves):
        assert gradient.isfinite().all()


@native
def test_a_corner_of_no_weight_does_not_leak(device):
    value = torch.tensor([1.0, float("nan")], device=device).view(1, 2, 1, 1).expand(1, 2, 1, 8)
    middle_of_the_first_pixel = torch.tensor([0.25, 0.5], device=device).view(1, 1, 1, 1, 1, 2)
    output = ms_deform_attn(value, [(1, 2)], None, middle_of_the_first_pixel, value.new_ones(1, 1, 1, 1, 1))
    assert_close(output, torch.ones(1, 1, 8, device=device))


@native
def test_bfloat16_is_as_good_as_its_storage(random_inputs):
    """Coordinates in float32: the error is that of rounding the inputs, not that of moving the points."""
    shapes = [(100, 167)]
    inputs = random_inputs(shapes, batch=1, queries=200, heads=8, head_dim=32)
    exact = fused(inputs, shapes)
    halved = {k: v if k == "reference_points" else v.bfloat16() for k, v in inputs.items()}
    error = (fused(halved, shapes).float() - exact).norm() / exact.norm()
    assert error < 2e-2


# ---- errors ----


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("value", lambda x: x[:, 1:], r"value has 146 rows.*describes 147"),
        ("value", lambda x: x[0], r"value has shape .*must be \(B, S, M, D\)"),
        ("value", lambda x: x.int(), r"value is torch.int32; it must be float32"),
        ("sampling_locations", lambda x: x[..., :1], r"sampling_locations has shape .*\(x, y\) last"),
        ("sampling_locations", lambda x: x[:1], r"value has B 2 and M 3"),
        (
            "attention_weights",
            lambda x: x[..., :1],
            r"attention_weights has shape .* must be \(2, 7, 3, 3, 4\)",
        ),
    ],
)
def test_a_wrong_argument_is_named(random_inputs, name, change, message):
    inputs = random_inputs()
    inputs[name] = change(inputs[name])
    with pytest.raises(ValueError, match=message):
        classical(inputs)


def test_reference_points_of_a_wrong_shape_are_named(random_inputs):
    inputs = random_inputs()
    inputs["reference_points"] = inputs["reference_points"][..., :1]
    with pytest.raises(ValueError, match=r"reference_points has shape \(2, 7, 3, 1\)"):
        fused(inputs)


@native
def test_the_kernel_itself_refuses_what_would_read_out_of_bounds(random_inputs):
    inputs = random_inputs()
    tail = inputs["sampling_locations"], inputs["attention_weights"]
    operators = backend.operators_for(inputs["value"])
    with pytest.raises(RuntimeError, match="describes"):
        operators.ms_deform_attn(inputs["value"], [9, 12, 5, 6, 3, 4], None, *tail)
    with pytest.raises(RuntimeError, match="pair for each level"):
        operators.ms_deform_attn(inputs["value"], [9, 12], None, *tail)


# ---- torch.library ----


@native
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("shapes", [(FLAT, None), ([], torch.tensor(SHAPES))], ids=["list", "tensor"])
def test_opcheck(random_inputs, grad, shapes):
    inputs = {name: tensor.requires_grad_(grad) for name, tensor in random_inputs().items()}
    value = inputs["value"]
    points = inputs["sampling_locations"], inputs["attention_weights"]
    raw = inputs["reference_points"], inputs["sampling_offsets"], inputs["attention_logits"]
    gradient = classical(inputs).detach()
    ops = backend.operators_for(value)
    torch.library.opcheck(ops.ms_deform_attn.default, (value, *shapes, *points))
    torch.library.opcheck(ops.ms_deform_attn_fused.default, (value, *shapes, *raw))
    detached = [tensor.detach() for tensor in (value, *points, *raw)]
    torch.library.opcheck(
        ops.ms_deform_attn_backward.default, (gradient, detached[0], *shapes, *detached[1:3])
    )
    torch.library.opcheck(
        ops.ms_deform_attn_fused_backward.default, (gradient, detached[0], *shapes, *detached[3:], grad)
    )


@native
@pytest.mark.parametrize("shapes", [SHAPES, torch.tensor(SHAPES)], ids=["list", "tensor"])
@pytest.mark.parametrize("entry", [classical, fused])
def test_compiles_without_a_graph_break(random_inputs, device, shapes, entry):
    inputs = random_inputs()
    compiled = torch.compile(entry, fullgraph=True, backend="aot_eager")
    results = []
    for function in (entry, compiled):
        value = inputs["value"].clone().requires_grad_()
        output = function({**inputs, "value": value}, shapes)
        (gradient,) = torch.autograd.grad(output.sum(), value)
        results.append((output, gradient))
    assert torch.equal(results[0][0], results[1][0])
    # Atomic additions on a card have no order; the deterministic backward has its own test there.
    assert_close(results[0][1], results[1][1], **({} if device == "cuda" else dict(rtol=0, atol=0)))


@native
@pytest.mark.parametrize("shapes", [SHAPES, torch.tensor(SHAPES)], ids=["list", "tensor"])
def test_exports_as_one_node_with_a_dynamic_batch(random_inputs, shapes):
    class Network(torch.nn.Module):
        def forward(self, value, reference, offsets, logits):
            return ms_deform_attn_fused(value, shapes, None, reference, offsets, logits)

    names = ("value", "reference_points", "sampling_offsets", "attention_logits")
    inputs = random_inputs()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        Network(), tuple(inputs[name] for name in names), dynamic_shapes=[{0: batch}] * 4
    )
    calls = [node for node in program.graph.nodes if "ms_deform_attn" in str(node.target)]
    assert len(calls) == 1
    other = random_inputs(batch=5)
    assert torch.equal(program.module()(*(other[name] for name in names)), fused(other))


@native
def test_autocast_stores_value_in_half_and_keeps_the_coordinates(random_inputs, device):
    inputs = random_inputs(head_dim=32)
    with torch.autocast(device, torch.bfloat16):
        output = fused(inputs)
    assert output.dtype == torch.bfloat16
    expected = fused({**inputs, "value": inputs["value"].bfloat16()})
    assert torch.equal(output, expected)


@native
def test_meta_tensors_have_shapes(random_inputs):
    inputs = {name: tensor.to("meta") for name, tensor in random_inputs().items()}
    assert fused(inputs).shape == classical(inputs).shape == (2, 7, 24)
