"""Both entries of the native op give the reference's numbers, forward and backward, on every processor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_kit.ops import backend, ms_deform_attn, ms_deform_attn_fused, use_backend

from .conftest import away_from_whole_pixels

pytestmark = pytest.mark.skipif(
    "cpu" not in backend._native_devices, reason="the native operator is not built"
)

SHAPES = [(9, 12), (5, 6), (3, 3)]
CLASSICAL = ("value", "sampling_locations", "attention_weights")
FUSED = ("value", "reference_points", "sampling_offsets", "attention_logits")
# relative to the largest number of the result
TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-13, torch.bfloat16: 1e-2, torch.float16: 1.5e-3}


def instruction_sets():
    found = []
    if "cpu" in backend._native_devices:
        for name in ("baseline", "avx2", "avx512"):
            try:
                torch.ops.detr_kit.cpu_instruction_set(name)
                found.append(name)
            except RuntimeError:
                pass
        torch.ops.detr_kit.cpu_instruction_set("best")
    return found


@pytest.fixture(params=instruction_sets())
def instruction_set(request):
    torch.ops.detr_kit.cpu_instruction_set(request.param)
    yield request.param
    torch.ops.detr_kit.cpu_instruction_set("best")


def run(entry, names, inputs, shapes, which="auto", weight=None):
    """Output and the gradients of its product with `weight`."""
    leaves = [inputs[name].detach().requires_grad_() for name in names]
    with use_backend(which):
        output = entry(leaves[0], shapes, None, *leaves[1:])
    if weight is None:
        weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    return output.detach(), *torch.autograd.grad(output, leaves, weight)


def assert_same(entry, names, inputs, shapes):
    dtype = inputs["value"].dtype
    native = run(entry, names, inputs, shapes)
    reference = run(entry, names, inputs, shapes, "reference")
    for name, ours, theirs in zip(("output", *names), native, reference, strict=True):
        assert ours.dtype == theirs.dtype, name
        scale = theirs.abs().max().item() if theirs.numel() else 0.0
        factor = 1 if name == "output" else 4
        assert_close(
            ours, theirs, rtol=0, atol=factor * TOLERANCE[dtype] * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


def assert_both_entries(inputs, shapes):
    assert_same(ms_deform_attn, CLASSICAL, inputs, shapes)
    assert_same(ms_deform_attn_fused, FUSED, inputs, shapes)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_equal_to_the_reference_in_every_dtype(instruction_set, random_inputs, dtype, box):
    assert_both_entries(random_inputs(dtype=dtype, box=box, head_dim=32), SHAPES)


@pytest.mark.parametrize("head_dim", [1, 3, 8, 16, 24, 40, 64, 72])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_any_head_dimension(instruction_set, random_inputs, head_dim, dtype):
    assert_both_entries(random_inputs(head_dim=head_dim, dtype=dtype), SHAPES)


@pytest.mark.parametrize("points", [1, 3, 6, 11, 40])
def test_any_number_of_points(instruction_set, random_inputs, points):
    assert_both_entries(random_inputs(points=points, box=True), SHAPES)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_many_queries_take_the_way_over_head_major_order(instruction_set, random_inputs, dtype):
    assert_both_entries(random_inputs(queries=150, head_dim=32, dtype=dtype), SHAPES)


def test_half_offsets_and_logits_with_a_float_value(random_inputs):
    inputs = random_inputs(head_dim=32)
    for name in ("sampling_offsets", "attention_logits"):
        inputs[name] = inputs[name].bfloat16()
    native = run(ms_deform_attn_fused, FUSED, inputs, SHAPES)
    reference = run(ms_deform_attn_fused, FUSED, inputs, SHAPES, "reference")
    assert_close(native[0], reference[0], rtol=1e-5, atol=1e-5)
    assert native[3].dtype == native[4].dtype == torch.bfloat16
    assert_close(native[2], reference[2], rtol=1e-4, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=5),
    batch=st.integers(1, 3),
    queries=st.integers(1, 40),
    heads=st.integers(1, 5),
    head_dim=st.integers(1, 40),
    points=st.integers(1, 9),
    box=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equal_to_the_reference_at_random_shapes(
    random_inputs, shapes, batch, queries, heads, head_dim, points, box, seed
):
    inputs = random_inputs(
        shapes, batch, queries, heads, head_dim, points, box, dtype=torch.float64, seed=seed
    )
    assert_both_entries(inputs, shapes)


@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_gradcheck_away_from_whole_pixels(random_inputs, device, box):
    shapes = [(5, 7), (3, 4)]
    inputs = random_inputs(shapes, 2, 3, 2, 3, 2, box=box, dtype=torch.float64, seed=3)
    inputs = away_from_whole_pixels(inputs, shapes)
    # On a card the gradient of value is a sum of atomic additions, whose order differs from call to call.
    varies = 1e-12 if device == "cuda" else 0.0
    for entry, names in ((ms_deform_attn, CLASSICAL), (ms_deform_attn_fused, FUSED)):
        leaves = [inputs[name].detach().requires_grad_() for name in names]
        assert torch.autograd.gradcheck(
            lambda v, *rest, f=entry: f(v, shapes, None, *rest), leaves, nondet_tol=varies
        )


def test_a_second_derivative_is_refused(random_inputs):
    inputs = random_inputs(dtype=torch.float64)
    value = inputs["value"].requires_grad_()
    weights = inputs["attention_weights"].requires_grad_()
    output = ms_deform_attn(value, SHAPES, None, inputs["sampling_locations"], weights)
    (gradient,) = torch.autograd.grad(output.square().sum(), value, create_graph=True)
    with pytest.raises(NotImplementedError, match="cannot be differentiated twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("queries", [7, 150])
def test_bit_identical_for_any_number_of_threads(random_inputs, device, dtype, queries):
    if device != "cpu":
        pytest.skip("about threads of the processor")
    inputs = random_inputs(queries=queries, heads=2, batch=1, points=7, dtype=dtype)
    threads = torch.get_num_threads()
    results = []
    try:
        # More threads than heads split the levels too; a race shows only now and then, so again and again.
        for count in (1, 2, *[3, 16] * 8):
            torch.set_num_threads(count)
            results.append(
                run(ms_deform_attn, CLASSICAL, inputs, SHAPES)
                + run(ms_deform_attn_fused, FUSED, inputs, SHAPES)
            )
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
