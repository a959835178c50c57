"""The CUDA part builds without a GPU, loads in any torch, and never breaks an install."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from detr_kit.ops import backend

ROOT = Path(__file__).parents[2]
TORCH = Path(torch.__file__).parent
HOME = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
NVCC = HOME / "bin/nvcc" if (HOME / "bin/nvcc").exists() else shutil.which("nvcc")


def build(folder, **environment):
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--build-lib",
        folder,
        "--build-temp",
        folder / "t",
    ]
    result = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=900,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr, *folder.rglob("_C.abi3.so")


def report_of(library):
    """The backend of CUDA in a process of its own that loads this build."""
    program = "from detr_kit.ops import backend_report as r; print(r()[1]['backend'], r()[1]['reason'])"
    environment = {**os.environ, "DETR_KIT_EXTENSION": str(library), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def symbols(library, which):
    lines = subprocess.run(
        ["nm", "-D", which, str(library)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    if not NVCC:
        pytest.skip("no nvcc")
    installed = ROOT / "detr_kit/_C.abi3.so"
    sources = [path for path in (ROOT / "ops").rglob("*.*") if path.suffix in (".cpp", ".cu", ".h")]
    newest = max(path.stat().st_mtime for path in [*sources, ROOT / "setup.py"])
    if (
        installed.is_file()
        and installed.stat().st_mtime > newest
        and "kernels for 9.0" in report_of(installed)
    ):
        return installed  # built by the install a moment ago, as in CI
    _, *libraries = build(tmp_path_factory.mktemp("build"), TORCH_CUDA_ARCH_LIST="9.0")
    assert len(libraries) == 1
    return libraries[0]


@pytest.mark.slow
def test_builds_without_a_gpu(built):
    report = report_of(built)
    assert report.startswith("native")
    assert "kernels for 9.0" in report


@pytest.mark.slow
def test_loads_in_a_torch_without_cuda(built):
    """No CUDA library is linked, and every symbol of torch's comes from its CPU libraries."""
    dynamic = subprocess.run(["readelf", "-d", built], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    assert needed
    assert not [name for name in needed if "cuda" in name or "nv" in name]
    provided = symbols(TORCH / "lib/libtorch_cpu.so", "--defined-only")
    provided |= symbols(TORCH / "lib/libc10.so", "--defined-only")
    torchs = {name for name in symbols(built, "--undefined-only") if "torch" in name}
    assert torchs
    assert torchs <= provided


@pytest.mark.slow
def test_the_fast_kernels_do_not_spill(built):
    """Those of 32 channels in float32, float16 and bfloat16, with several items to a warp and with one."""
    tools = Path(sys.prefix, "lib").glob("python*/site-packages/triton/backends/nvidia/bin/cuobjdump")
    cuobjdump = shutil.which("cuobjdump") or next(map(str, tools), None)
    if cuobjdump is None:
        pytest.skip("no cuobjdump")
    report = subprocess.run(
        [cuobjdump, "-res-usage", built], capture_output=True, text=True, check=True
    ).stdout
    usage = dict(re.findall(r"Function (\S+):\s+REG:\d+ STACK:(\d+)", report))
    fast = {
        name: int(stack)
        for name, stack in usage.items()
        if re.search(r"(forward|backward)I(fLi4ELi8E|NS0_\w*?(Half|BFloat16)ELi8ELi4E)", name)
    }
    assert len(fast) == 12
    assert {name: stack for name, stack in fast.items() if stack} == {}


@pytest.mark.slow
def test_a_failing_nvcc_costs_the_cuda_part_only(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/libcudart_static.a").touch()
    nvcc = tmp_path / "bin/nvcc"
    nvcc.write_text("#!/bin/sh\necho no such architecture >&2\nexit 1\n")
    nvcc.chmod(0o755)
    (tmp_path / "out").mkdir()
    output, library = build(tmp_path / "out", CUDA_HOME=str(tmp_path), TORCH_CUDA_ARCH_LIST="9.0")
    assert output.count("goes on without its CUDA kernels") == 1
    assert "no such architecture" in output
    report = report_of(library)
    assert report.startswith("reference")
    assert "nvcc was not found or failed" in report


@pytest.mark.skipif(torch.version.cuda is None, reason="torch without CUDA")
def test_torch_tells_its_stream_under_the_name_that_is_looked_up():
    source = (ROOT / "ops/cuda/ms_deform_attn_cuda.cpp").read_text()
    library, function = re.search(r'dlopen\("(\S+?)".*?dlsym\(library, "(\S+?)"', source, re.S).groups()
    loaded = ctypes.CDLL(library, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    assert getattr(loaded, function)


@pytest.mark.parametrize(
    ("built_for", "card", "serves"),
    [
        ("8.0 9.0", (8, 0), True),
        ("8.0 9.0", (8, 9), True),  # machine code runs on later cards of its generation
        ("8.6 9.0", (8, 0), False),
        ("8.0 9.0", (7, 5), False),
        ("8.0 9.0", (10, 0), False),
        ("8.0 9.0+PTX", (10, 0), True),  # the driver compiles PTX for what came later
        ("8.0 9.0 10.0 12.0+PTX", (11, 0), False),
        ("9.0a", (9, 0), True),
        ("9.0a+PTX", (10, 0), False),  # for that architecture alone
        ("10.0f", (10, 3), True),
    ],
)
def test_which_cards_a_build_serves(built_for, card, serves):
    assert backend._serves_card(built_for, card) is serves
