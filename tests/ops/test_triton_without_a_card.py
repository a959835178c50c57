"""Triton's kernels without a GPU: numbers in the interpreter, machine code for cards, who chooses them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

from detr_kit.ops import backend, backend_report, ms_deform_attn, triton_operators, use_backend

from .conftest import make_inputs
from .test_cuda_machine_code import tool

triton = pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
SHAPES = [(9, 12), (5, 6), (3, 3)]


@pytest.mark.slow
def test_numbers_and_promises_in_the_interpreter():
    """A process of its own, as the interpreter has to be asked for before Triton is imported."""
    # Of what the op promises for level shapes as a list and as a tensor, the interpreter does the first.
    chosen = "not ((opcheck or compiles) and tensor) and not (opcheck and False)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*command, "tests/ops/test_op_triton.py"], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=900,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert re.search(r"\d\d passed, \d deselected", result.stdout), result.stdout


# ---- machine code ----


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kernel", ["forward_kernel", "backward_kernel"])
def test_compiles_for_a_card(kernel, dtype, architecture, tmp_path, monkeypatch):
    ptxas = triton.knobs.nvidia.ptxas
    if ptxas is None or not Path(ptxas.path).exists() or tool("cuobjdump") is None:
        pytest.skip("this triton brings no ptxas or no cuobjdump")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiled = compile_kernel(kernel, dtype, architecture)
    ptx = compiled.asm["ptx"]
    assert f".target sm_{architecture}" in ptx
    additions = re.findall(r"(?:atom|red)\.global\.\S*add\S*\.f32", ptx)
    assert bool(additions) == (kernel == "backward_kernel")
    if architecture == 90:  # sixteen bytes at once
        assert all(".v4.f32" in addition for addition in additions)
    # One warp needs no barriers, but for a single one before the gradient of the softmax.
    if architecture == 90:
        assert ptx.count("bar.sync") + ptx.count("bar.warp.sync") + ptx.count("barrier") <= 1
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(compiled.asm["cubin"])
    usage = subprocess.run(
        [tool("cuobjdump"), "-res-usage", cubin], capture_output=True, text=True, check=True
    )
    assert "STACK:0 " in usage.stdout  # nothing is spilled


def compile_kernel(name, dtype, architecture):
    """For four levels of four points and heads of 32 channels, with reference points."""
    from detr_kit.ops import triton_kernels
    from detr_kit.ops.triton_launch import constants

    kernel = getattr(triton_kernels, name)
    short = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
    exact = ("reference", "grad_value", "grad_weights", "grad_reference")
    types = {name: "*fp32" if name in exact else f"*{short}" for name in kernel.arg_names}
    types |= {"sizes": ("fp32",) * 8, "rows": "i32", "queries": "i32", "heads": "i32"}
    fixed = {**constants(dtype, 32, 4, 4, 2), "REFERENCE_GRADIENT": True}
    fixed = {name: value for name, value in fixed.items() if name in kernel.arg_names}
    types |= dict.fromkeys(fixed, "constexpr")
    aligned = {
        (i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if types[name][0] == "*"
    }
    source = triton.compiler.ASTSource(kernel, types, fixed, aligned)
    target = triton.backends.compiler.GPUTarget("cuda", architecture, 32)
    return triton.compile(source, target=target, options={"num_warps": 1})


# ---- the choice ----


@pytest.fixture
def without_native_cuda(monkeypatch):
    monkeypatch.setattr(backend, "_native_devices", backend._native_devices - {"cuda"})
    monkeypatch.setattr(backend, "_choice", "auto")


@pytest.mark.usefixtures("without_native_cuda")
def test_chosen_for_a_gpu_whose_native_kernels_were_not_built():
    with FakeTensorMode():
        inputs = {name: torch.empty(t.shape, device="cuda") for name, t in make_inputs().items()}
        assert backend.operators_for(inputs["value"]) is torch.ops.detr_kit_triton
        arguments = inputs["value"], SHAPES, None, inputs["sampling_locations"], inputs["attention_weights"]
        assert ms_deform_attn(*arguments).device.type == "cuda"
        with use_backend("reference"):
            assert backend.operators_for(inputs["value"]) is None
        with use_backend("native"), pytest.raises(RuntimeError, match="backend is 'native'"):
            ms_deform_attn(*arguments)
    assert backend.operators_for(torch.empty(1)) is not torch.ops.detr_kit_triton


@pytest.mark.usefixtures("without_native_cuda")
def test_the_report_names_it():
    row = backend_report()[1]
    assert row["backend"] == "triton"
    assert "compiled when they are called first" in row["reason"]


@pytest.mark.usefixtures("without_native_cuda")
def test_a_machine_where_triton_fails_gets_the_reference(monkeypatch):
    """Triton needs a C compiler at run time: its absence must not end a training run."""

    def no_compiler(*arguments):
        raise RuntimeError("some lines\nFailed to find C compiler.")

    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device: zeros(*size))  # there is no card here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(triton_operators, "_ms_deform_attn", no_compiler)
    triton_operators._why_not_on_card.cache_clear()
    try:
        with pytest.warns(
            UserWarning, match="plain PyTorch on this GPU, since triton fails: RuntimeError: Failed"
        ):
            reason = triton_operators.why_not(torch.device("cuda", 0))
        assert reason == "triton fails: RuntimeError: Failed to find C compiler."
        assert triton_operators.why_not(torch.device("cuda", 0)) == reason  # tried once
    finally:
        triton_operators._why_not_on_card.cache_clear()


def test_on_the_processor_it_is_said_why_not():
    with (
        use_backend("triton"),
        pytest.raises(RuntimeError, match="'triton' and value is on cpu: its kernels run on"),
    ):
        backend.operators_for(torch.empty(1))
