"""The CUDA kernels' own source, run lane by lane on the processor, gives the float64 reference's numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_kit.ops import ms_deform_attn, ms_deform_attn_fused, use_backend

from . import emulation
from .conftest import make_inputs

pytestmark = pytest.mark.skipif(emulation.compiler() is None, reason="no C++ compiler")

SHAPES = [(9, 12), (5, 6), (3, 3)]
CLASSICAL = ("value", "sampling_locations", "attention_weights")
FUSED = ("value", "reference_points", "sampling_offsets", "attention_logits")
# relative to the largest number of the result
TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-13, torch.bfloat16: 1e-2, torch.float16: 1.5e-3}
WHOLE_WARP, SHARED_WARP = (0, 0, 0), (1, 0, 0)  # how many lanes serve an item: limits of the plan
# Four numbers are added by one instruction, or each by its own.
additions = pytest.mark.parametrize("adds_four", [True, False], ids=["sm_90", "sm_80"])


@pytest.fixture(scope="module")
def random_inputs():
    return make_inputs  # whatever the devices at hand


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    return emulation.shared_emulator(tmp_path_factory)


def expected(inputs, shapes, fused, grad_output):
    """Output and gradients of the reference, in float64 throughout."""
    names = FUSED if fused else CLASSICAL
    leaves = {name: inputs[name].double().requires_grad_() for name in names}
    with use_backend("reference"):
        entry = ms_deform_attn_fused if fused else ms_deform_attn
        output = entry(leaves["value"], shapes, None, *[leaves[name] for name in names[1:]])
    gradients = torch.autograd.grad(output, list(leaves.values()), grad_output.double())
    return {"output": output.detach(), **dict(zip(names, gradients, strict=True))}


def assert_right(emulator, inputs, shapes, fused, limits=WHOLE_WARP, **options):
    value = inputs["value"]
    batch, _, heads, head_dim = value.shape
    size = batch, inputs["sampling_offsets"].shape[1], heads * head_dim
    grad_output = torch.randn(size, generator=torch.Generator().manual_seed(1)).to(value.dtype)
    results = emulator.run(inputs, shapes, fused, limits=limits, **options)
    results |= emulator.run(inputs, shapes, fused, grad_output, limits, **options)
    wanted = expected(inputs, shapes, fused, grad_output)
    assert results.keys() == wanted.keys()
    for name, ours in results.items():
        theirs = wanted[name]
        factor = 1 if name == "output" else 4
        tolerance = factor * TOLERANCE[value.dtype] * theirs.abs().max().item()
        assert_close(ours.double(), theirs, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@additions
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", ["classical", "points", "boxes"])
@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
def test_equal_to_the_reference_in_every_dtype(emulator, random_inputs, dtype, kind, limits, adds_four):
    inputs = random_inputs(dtype=dtype, box=kind == "boxes", head_dim=32)
    assert_right(emulator, inputs, SHAPES, kind != "classical", limits, adds_four=adds_four)


@additions
@pytest.mark.parametrize("head_dim", [1, 10, 16, 24, 40, 64, 72, 136, 264])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
def test_any_head_dimension(emulator, random_inputs, head_dim, dtype, limits, adds_four):
    inputs = random_inputs(queries=5, heads=2, batch=1, head_dim=head_dim, dtype=dtype)
    assert_right(emulator, inputs, SHAPES, True, limits, adds_four=adds_four)


@pytest.mark.parametrize("points", [1, 3, 11, 40])
@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
def test_any_number_of_points(emulator, random_inputs, points, limits):
    inputs = random_inputs(points=points, box=True, queries=3, head_dim=32)
    assert_right(emulator, inputs, SHAPES, True, limits)


@additions
@pytest.mark.parametrize("head_dim", [16, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
def test_the_points_of_d_fine(emulator, random_inputs, head_dim, dtype, limits, adds_four):
    inputs = random_inputs(points=(3, 6, 3), box=True, head_dim=head_dim, dtype=dtype, heads=2)
    assert_right(emulator, inputs, SHAPES, False, limits, adds_four=adds_four)
    assert_right(emulator, inputs, SHAPES, True, limits, adds_four=adds_four)


@pytest.mark.parametrize("shapes", [[(9, 17), (8, 16), (1, 1), (3, 40)], [(11, 5), (0, 3), (2, 2)]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("fused", [False, True], ids=["classical", "fused"])
def test_tiles_of_odd_maps(emulator, random_inputs, shapes, dtype, fused):
    rows = sum(height * width for height, width in shapes)
    inputs = random_inputs([(max(h, 1), max(w, 1)) for h, w in shapes], 2, rows, 2, 32, 2, dtype=dtype)
    inputs["value"] = inputs["value"][:, :rows]
    sizes = 2, rows, rows, 2, 32, len(shapes), 2, 0
    assert emulator.plan(sizes, shapes, dtype, limits=SHARED_WARP)["tiled"]
    if any(0 in shape for shape in shapes):  # the reference cannot sample an empty map
        plain = emulator.run(inputs, shapes, fused, limits=WHOLE_WARP)["output"]
        assert_close(emulator.run(inputs, shapes, fused, limits=SHARED_WARP)["output"], plain)
    else:
        assert_right(emulator, inputs, shapes, fused, SHARED_WARP)


def test_blocks_that_take_several_units(emulator, random_inputs):
    assert_right(emulator, random_inputs(head_dim=32), SHAPES, True, (0, 3, 0))
    assert_right(emulator, random_inputs(queries=147, head_dim=32), SHAPES, True, (1, 5, 0))


def test_many_points_take_fewer_items_a_block(emulator, random_inputs):
    inputs = random_inputs([(4, 5)] * 8, 1, 3, 1, 32, 64)
    assert_right(emulator, inputs, [(4, 5)] * 8, True, SHARED_WARP)


@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
@pytest.mark.parametrize("head_dim", [10, 32])
def test_the_order_of_the_lanes_does_not_matter(emulator, random_inputs, limits, head_dim):
    inputs = random_inputs(queries=9, head_dim=head_dim, points=5)
    grad_output = torch.randn(2, 9, 3 * head_dim)
    runs = []
    for order in range(3):
        result = emulator.run(inputs, SHAPES, True, limits=limits, order=order)
        runs.append(result | emulator.run(inputs, SHAPES, True, grad_output, limits, order))
    for other in runs[1:]:
        for name, result in other.items():
            if name == "value":  # collected in the order of the turns
                assert_close(result, runs[0][name])
            else:
                assert torch.equal(result, runs[0][name]), name


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("fused", [False, True], ids=["classical", "fused"])
@pytest.mark.parametrize(("head_dim", "points"), [(32, 4), (10, 13)])
def test_the_deterministic_gradient_of_value(emulator, random_inputs, dtype, fused, head_dim, points):
    inputs = random_inputs(queries=11, dtype=dtype, head_dim=head_dim, points=points)
    grad_output = torch.randn(2, 11, 3 * head_dim, generator=torch.Generator().manual_seed(1)).to(dtype)
    wanted = expected(inputs, SHAPES, fused, grad_output)["value"]
    results = [
        emulator.run(inputs, SHAPES, fused, grad_output, order=order, deterministic=True)["value"]
        for order in range(3)
    ]
    tolerance = 4 * TOLERANCE[dtype] * wanted.abs().max().item()
    assert_close(results[0].double(), wanted, rtol=0, atol=tolerance)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=5),
    batch=st.integers(1, 2),
    queries=st.integers(1, 12),
    heads=st.integers(1, 3),
    head_dim=st.integers(1, 40),
    points=st.integers(1, 9),
    box=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    limits=st.sampled_from([WHOLE_WARP, SHARED_WARP]),
    seed=st.integers(0, 2**16),
)
def test_equal_to_the_reference_at_random_shapes(
    emulator, random_inputs, shapes, batch, queries, heads, head_dim, points, box, dtype, limits, seed
):
    inputs = random_inputs(shapes, batch, queries, heads, head_dim, points, box, torch.float64, seed)
    # The slopes jump at whole pixels; in float32 a point that is too near one may fall on either side.
    inputs = {name: tensor.to(dtype) for name, tensor in inputs.items()}
    assert_right(emulator, inputs, shapes, False, limits)
    assert_right(emulator, inputs, shapes, True, limits)


@pytest.mark.parametrize("outside", [-1.0, 2.0, 1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
def test_points_outside_contribute_zero(emulator, random_inputs, outside, limits):
    inputs = random_inputs(head_dim=32)
    inputs["sampling_locations"] = torch.full_like(inputs["sampling_locations"], outside)
    inputs["value"][:, 0] = float("nan")  # what stands in for rows outside must not be seen
    assert emulator.run(inputs, SHAPES, False, limits=limits)["output"].abs().max() == 0
    gradients = emulator.run(inputs, SHAPES, False, torch.ones(2, 7, 96), limits)
    for gradient in gradients.values():
        assert gradient.abs().max() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("limits", [WHOLE_WARP, SHARED_WARP], ids=["whole warp", "shared warp"])
def test_non_finite_values_do_not_leak_through_zero_weights(emulator, random_inputs, bad, dtype, limits):
    inputs = random_inputs(dtype=dtype, head_dim=32)
    clean = inputs["value"].clone()
    inputs["value"][:, -9:] = bad
    clean[:, -9:] = 0
    inputs["attention_weights"][:, :, :, 2] = 0
    inputs["attention_logits"][:, :, :, 2] = -float("inf")
    for fused in (False, True):
        with_bad = emulator.run(inputs, SHAPES, fused, limits=limits)["output"]
        without = emulator.run({**inputs, "value": clean}, SHAPES, fused, limits=limits)["output"]
        assert torch.equal(with_bad, without)
    gradients = emulator.run(inputs, SHAPES, True, torch.ones(2, 7, 96, dtype=dtype), limits)
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), name


def test_an_infinite_value_that_counts_is_kept(emulator):
    value = torch.tensor([1.0, float("inf")]).view(1, 2, 1, 1).expand(1, 2, 1, 8).contiguous()
    at_second = torch.tensor([0.75, 0.5]).view(1, 1, 1, 1, 1, 2)
    inputs = {"value": value, "sampling_locations": at_second, "attention_weights": torch.ones(1, 1, 1, 1, 1)}
    output = emulator.run(inputs, [(1, 2)], False)["output"]
    assert torch.equal(output, torch.full((1, 1, 8), float("inf")))


def test_half_offsets_and_logits_with_a_float_value(emulator, random_inputs):
    inputs = random_inputs(head_dim=32)
    for name in ("sampling_offsets", "attention_logits"):
        inputs[name] = inputs[name].bfloat16()
    exact = {name: tensor.double() for name, tensor in inputs.items()}
    with use_backend("reference"):
        wanted = ms_deform_attn_fused(exact["value"], SHAPES, None, *[exact[name] for name in FUSED[1:]])
    output = emulator.run(inputs, SHAPES, True)["output"]
    assert_close(output.double(), wanted, rtol=1e-5, atol=1e-5)
