"""What only a GPU has: streams, a second card, graphs, atomics. Skipped without one."""

import pytest
import torch
from torch.testing import assert_close

from detr_kit.ops import backend, ms_deform_attn, ms_deform_attn_fused

from .conftest import away_from_whole_pixels, make_inputs

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    pytest.mark.skipif("cuda" not in backend._native_devices, reason="built without CUDA kernels"),
]

SHAPES = [(9, 12), (5, 6), (3, 3)]
FUSED = ("value", "reference_points", "sampling_offsets", "attention_logits")


def on(device, *args, **kwargs):
    return {name: tensor.to(device) for name, tensor in make_inputs(*args, **kwargs).items()}


def fused(inputs, shapes=SHAPES):
    return ms_deform_attn_fused(inputs["value"], shapes, None, *[inputs[name] for name in FUSED[1:]])


def gradients(inputs, shapes=SHAPES):
    leaves = {name: inputs[name].detach().requires_grad_() for name in FUSED}
    output = fused(leaves, shapes)
    return torch.autograd.grad(output.float().sin().sum(), list(leaves.values()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_the_card_and_the_processor_agree_on_an_encoder(dtype, box):
    """Large enough for tiles; everything else compares small inputs with the reference."""
    shapes = [(50, 67), (25, 34), (13, 17)]
    rows = sum(height * width for height, width in shapes)
    inputs = away_from_whole_pixels(make_inputs(shapes, 1, rows, 8, 32, 4, box, dtype), shapes)
    card = {name: tensor.cuda() for name, tensor in inputs.items()}
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2, torch.float16: 3e-3}[dtype]
    on_card = fused(card, shapes), *gradients(card, shapes)
    on_processor = fused(inputs, shapes), *gradients(inputs, shapes)
    for ours, theirs in zip(on_card, on_processor, strict=True):
        error = (ours.cpu().double() - theirs.double()).norm() / theirs.double().norm()
        assert error < tolerance


def test_runs_on_the_current_stream():
    inputs = on("cuda", head_dim=32)
    expected = fused(inputs)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # were the kernel on another stream, it would see the old value
        inputs["value"].mul_(2)
        output = fused(inputs)
    stream.synchronize()
    assert_close(output, 2 * expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU only")
def test_runs_on_the_device_of_its_inputs():
    inputs = on("cuda:1", head_dim=32)
    assert torch.cuda.current_device() == 0
    assert_close(fused(inputs).cpu(), fused({name: tensor.cpu() for name, tensor in inputs.items()}))
    for ours, theirs in zip(
        gradients(inputs), gradients({n: t.cpu() for n, t in inputs.items()}), strict=True
    ):
        assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-4)
    assert torch.cuda.current_device() == 0
    mixed = {**inputs, "sampling_offsets": inputs["sampling_offsets"].to("cuda:0")}
    with pytest.raises(ValueError, match="move them to one device"):
        fused(mixed)


def test_does_not_wait_for_the_device():
    inputs = on("cuda", head_dim=32)
    leaves = {name: inputs[name].requires_grad_() for name in FUSED}
    fused(leaves).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        fused(leaves).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_is_captured_in_a_graph():
    inputs = on("cuda", head_dim=32)
    static = {name: inputs[name].clone() for name in FUSED}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())  # the inputs are made there
    with torch.cuda.stream(side):
        fused(static), gradients(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output, grads = fused(static), gradients(static)
    other = on("cuda", head_dim=32, seed=1)
    for name in FUSED:
        static[name].copy_(other[name])
    graph.replay()
    assert torch.equal(output, fused(other))
    for ours, theirs in zip(grads, gradients(other), strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_deterministic_on_demand(dtype):
    inputs = on("cuda", queries=500, head_dim=32, dtype=dtype)
    usual = gradients(inputs)
    torch.use_deterministic_algorithms(True)
    try:
        first, *others = [gradients(inputs) for _ in range(5)]
    finally:
        torch.use_deterministic_algorithms(False)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    for ours, theirs in zip(first, usual, strict=True):
        assert_close(ours, theirs, rtol=2e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-3)


def test_a_slice_that_begins_anywhere():
    """Kernels load sixteen bytes at once; a view need not begin at a multiple of them."""
    inputs = on("cuda", head_dim=32)
    shifted = {}
    for name, tensor in inputs.items():
        memory = torch.empty(tensor.numel() + 1, dtype=tensor.dtype, device="cuda")
        shifted[name] = memory[1:].view(tensor.shape).copy_(tensor)
    assert torch.equal(fused(shifted), fused(inputs))


def test_inductor_compiles_it_whole():
    inputs = on("cuda", head_dim=32)
    compiled = torch.compile(fused, fullgraph=True)
    assert_close(compiled(inputs), fused(inputs))


def test_more_than_two_to_the_31_elements():
    """The last image of a batch lies past 2^31 elements of value."""
    shapes = [(256, 256)]
    batch = 2**31 // (256 * 256 * 8 * 64) + 2
    if torch.cuda.mem_get_info()[0] < 12 << 30:
        pytest.skip("needs 12 GB")
    value = torch.zeros(batch, 256 * 256, 8, 64, dtype=torch.bfloat16, device="cuda")
    assert value.numel() > 2**31
    value[-1].normal_()
    inputs = on("cuda", shapes, batch, 5, 8, 1, dtype=torch.bfloat16)
    points = inputs["sampling_locations"].float(), inputs["attention_weights"].float()
    output = ms_deform_attn(value, shapes, None, *points)
    last = ms_deform_attn(value[-1:], shapes, None, *(tensor[-1:] for tensor in points))
    assert torch.equal(output[-1:], last)
    assert output[:-1].abs().max() == 0


def test_what_the_kernels_do_not_take_is_said():
    inputs = on("cuda", [(4, 4)], points=401)
    with pytest.raises(RuntimeError, match="400 points"):
        fused(inputs, [(4, 4)])
