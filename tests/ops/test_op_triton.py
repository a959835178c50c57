"""Triton's kernels give the float64 reference's numbers and keep the op's promises.

On a card, or on the processor in Triton's interpreter (test_triton_without_a_card.py starts this file there).
"""

import os

import pytest
import torch
from torch.testing import assert_close

from detr_kit.ops import backend_report, ms_deform_attn, ms_deform_attn_fused, use_backend

from .conftest import make_inputs
from .test_op_contract import (  # noqa: F401  the same promises
    test_a_corner_of_no_weight_does_not_leak,
    test_a_level_without_pixels,
    test_autocast_stores_value_in_half_and_keeps_the_coordinates,
    test_compiles_without_a_graph_break,
    test_empty_inputs,
    test_exports_as_one_node_with_a_dynamic_batch,
    test_non_contiguous_inputs,
    test_opcheck,
    test_points_outside_contribute_zero,
    test_points_that_differ_by_level_are_padded_by_points_of_no_weight,
    test_the_kernel_itself_refuses_what_would_read_out_of_bounds,
)
from .test_op_numbers import CLASSICAL, FUSED, TOLERANCE, run, test_a_second_derivative_is_refused  # noqa: F401

pytest.importorskip("triton")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("no GPU, and Triton does not interpret", allow_module_level=True)

SMALL = [(5, 7), (3, 2)]


@pytest.fixture(scope="module")
def device():
    with use_backend("triton"):
        yield "cpu" if INTERPRETED else "cuda"


@pytest.fixture(scope="module")
def random_inputs(device):
    """Few items and points unless asked for: a line of a kernel takes the interpreter a millisecond."""
    few = dict(batch=2, queries=3, heads=1, points=1)

    def make(*shapes, **options):
        return {
            name: tensor.to(device) for name, tensor in make_inputs(*shapes, **{**few, **options}).items()
        }

    return make


def small(random_inputs, shapes=SMALL, **options):
    return random_inputs(shapes, **{"batch": 1, "heads": 2, "points": 2, **options})


def assert_right(inputs, shapes, entry, names):
    exact = {name: tensor.double() for name, tensor in inputs.items()}
    dtype = inputs["value"].dtype
    batch, _, heads, head_dim = inputs["value"].shape
    size = batch, inputs["attention_weights"].shape[1], heads * head_dim
    weight = torch.randn(size, generator=torch.Generator().manual_seed(1)).to(inputs["value"])
    ours = run(entry, names, inputs, shapes, "triton", weight)
    theirs = run(entry, names, exact, shapes, "reference", weight.double())
    for name, got, wanted in zip(("output", *names), ours, theirs, strict=True):
        assert got.dtype == inputs.get(name, inputs["value"]).dtype, name
        factor = 1 if name == "output" else 4
        tolerance = factor * TOLERANCE[dtype] * wanted.abs().max().item()
        assert_close(got.double(), wanted, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def assert_both_entries(inputs, shapes=SMALL):
    assert_right(inputs, shapes, ms_deform_attn, CLASSICAL)
    assert_right(inputs, shapes, ms_deform_attn_fused, FUSED)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_equal_to_the_reference_in_every_dtype(random_inputs, dtype, box):
    assert_both_entries(small(random_inputs, dtype=dtype, box=box, head_dim=32))


@pytest.mark.parametrize("head_dim", [1, 10, 16, 64])
def test_any_head_dimension(random_inputs, head_dim):
    assert_both_entries(small(random_inputs, head_dim=head_dim))


@pytest.mark.parametrize(
    ("shapes", "points"), [([(3, 4)], 1), ([(4, 3)] * 3, 3), ([(2, 2)] * 3, 12)], ids=str
)
def test_any_number_of_levels_and_points(random_inputs, shapes, points):
    """Nine points are not a power of two, thirty-six are more than the softmax takes at once."""
    assert_both_entries(small(random_inputs, shapes, heads=1, points=points), shapes)


def test_more_queries_than_a_program_takes(random_inputs):
    assert_both_entries(small(random_inputs, batch=2, queries=9, head_dim=32, points=1))


def test_levels_switched_off_by_their_logits(random_inputs):
    """As padding to a common number of points does; the first chunk of the softmax holds nothing else."""
    inputs = small(random_inputs, [(4, 4)] * 3, heads=1, points=12)
    inputs["attention_logits"][:, :, :, :2] = float("-inf")
    assert_right(inputs, [(4, 4)] * 3, ms_deform_attn_fused, FUSED)


def test_half_offsets_and_logits_with_a_float_value(random_inputs):
    inputs = small(random_inputs)
    for name in ("sampling_offsets", "attention_logits"):
        inputs[name] = inputs[name].bfloat16()
    ours = run(ms_deform_attn_fused, FUSED, inputs, SMALL, "triton")
    theirs = run(ms_deform_attn_fused, FUSED, inputs, SMALL, "reference")
    for got, wanted in zip(ours, theirs, strict=True):
        assert got.dtype == wanted.dtype
        assert_close(got, wanted, rtol=1e-2, atol=1e-3) if got.dtype == torch.bfloat16 else assert_close(
            got, wanted, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_non_finite_values_do_not_leak_through_zero_weights(random_inputs, dtype):
    inputs = small(random_inputs, dtype=dtype)
    clean = inputs["value"].clone()
    inputs["value"][:, -6:] = float("nan")
    clean[:, -6:] = 0
    inputs["attention_weights"][:, :, :, 1] = 0
    inputs["attention_logits"][:, :, :, 1] = -float("inf")
    for entry, names in ((ms_deform_attn, CLASSICAL), (ms_deform_attn_fused, FUSED)):
        given, cleaned = ([source[name] for name in names] for source in (inputs, {**inputs, "value": clean}))
        assert torch.equal(
            entry(given[0], SMALL, None, *given[1:]), entry(cleaned[0], SMALL, None, *cleaned[1:])
        )
    for gradient in run(ms_deform_attn_fused, FUSED, inputs, SMALL, "triton"):
        assert gradient.isfinite().all()


def test_sums_without_an_order_are_refused_where_order_is_asked_for(random_inputs):
    inputs = small(random_inputs)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match=r"no deterministic form in Triton.*docs/op.md"):
            run(ms_deform_attn_fused, FUSED, inputs, SMALL, "triton")
        torch.use_deterministic_algorithms(True, warn_only=True)
        with pytest.warns(UserWarning, match="no deterministic form in Triton"):
            run(ms_deform_attn, CLASSICAL, inputs, SMALL, "triton")
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_report_names_it(device):
    row = next(row for row in backend_report() if row["device"] == device)
    assert row["backend"] == "triton"
    assert "chosen with" in row["reason"]


def test_what_triton_does_not_serve_is_said(device):
    elsewhere = {name: tensor.to("meta") for name, tensor in make_inputs(SMALL).items()}
    message = rf"backend is 'triton' and value is on meta: its kernels run on {device} tensors"
    with pytest.raises(RuntimeError, match=message):
        run(ms_deform_attn, CLASSICAL, elsewhere, SMALL, "triton")
