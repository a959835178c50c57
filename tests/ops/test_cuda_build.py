"""The CUDA part builds without a GPU, loads in any torch, and never breaks an install."""

import ctypes
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from detr_kit.ops import backend

from .built_extension import built_just_now

ROOT = Path(__file__).parents[2]
TORCH = Path(torch.__file__).parent
HOME = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
NVCC = HOME / "bin/nvcc" if (HOME / "bin/nvcc").exists() else shutil.which("nvcc")


FAILING_NVCC = "#!/bin/sh\necho no such architecture >&2\nexit 1\n"
# What is tested is what follows from nvcc's failure: the C++ part is compiled in a hurry, or not at all.
HASTY_COMPILER = '#!/bin/sh\nexec c++ "$@" -O0\n'
NO_COMPILER = "#!/bin/sh\n"


def run_build(folder, **environment):
    places = ["--build-lib", folder, "--build-temp", folder / "t"]
    command = [sys.executable, "setup.py", "-q", "build_ext", *places]
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=900,
    )  # fmt: skip


def build(folder, **environment):
    result = run_build(folder, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr, *folder.rglob("_C.abi3.so")


def compiler(path, script):
    """Variables of the environment under which setuptools compiles C++ by this script."""
    path.write_text(script)
    path.chmod(0o755)
    return {"CC": str(path), "CXX": str(path)}


def fake_toolkit(folder, nvcc):
    """A CUDA toolkit whose compiler is this script; None leaves it out."""
    (folder / "bin").mkdir()
    (folder / "lib64").mkdir()
    (folder / "lib64/libcudart_static.a").touch()
    if nvcc is not None:
        (folder / "bin/nvcc").write_text(nvcc)
        (folder / "bin/nvcc").chmod(0o755)
    return folder


def setup_functions(monkeypatch):
    """What setup.py defines, without its setup() call."""
    monkeypatch.setattr("setuptools.setup", lambda **settings: None)
    return runpy.run_path(str(ROOT / "setup.py"))


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
    installed = built_just_now()
    if installed and "kernels for 9.0" in report_of(installed):
        return installed
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
def test_a_failing_nvcc_costs_the_cuda_part_only(tmp_path):
    fake_toolkit(tmp_path, FAILING_NVCC)
    (tmp_path / "out").mkdir()
    environment = compiler(tmp_path / "hasty", HASTY_COMPILER)
    output, library = build(
        tmp_path / "out", CUDA_HOME=str(tmp_path), TORCH_CUDA_ARCH_LIST="9.0", **environment
    )
    assert output.count("goes on without its CUDA kernels") == 1
    assert "no such architecture" in output
    report = report_of(library)
    assert report.startswith(("triton", "reference"))
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


@pytest.mark.parametrize(
    ("nvcc", "message"),
    [
        (FAILING_NVCC, "no such architecture"),
        (None, "nvcc is not found"),
    ],
    ids=["fails", "is missing"],
)
def test_where_cuda_is_required_a_build_without_it_fails(tmp_path, nvcc, message):
    home = fake_toolkit(tmp_path, nvcc)
    environment = dict(
        CUDA_HOME=str(home), TORCH_CUDA_ARCH_LIST="9.0", DETR_KIT_REQUIRE_CUDA="1", PATH="/usr/bin:/bin",
        **compiler(tmp_path / "none", NO_COMPILER),
    )  # fmt: skip
    result = run_build(tmp_path / "out", **environment)
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.parametrize(
    ("wanted", "compiled", "said"),
    [
        ("Hopper", ["9.0+PTX"], ""),
        ("Ampere;9.0", ["8.0", "8.6+PTX", "9.0"], ""),
        ("5.2 8.0 9.0+PTX", ["8.0", "9.0+PTX"], "5.2"),
        ("Volta 9.0a", ["9.0a"], "7.0+PTX"),
        ("", ["8.0", "9.0", "10.0+PTX"], ""),
    ],
)
def test_architectures_by_name_and_without_those_that_nvcc_does_not_know(
    tmp_path, monkeypatch, capsys, wanted, compiled, said
):
    known = " ".join(f"compute_{number}" for number in (80, 86, 90, 100))
    nvcc = fake_toolkit(tmp_path, f"#!/bin/sh\necho {known}\n") / "bin/nvcc"
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", wanted)
    architectures = setup_functions(monkeypatch)["cuda_architectures"]
    assert architectures(str(nvcc)) == compiled
    output = capsys.readouterr().out
    assert (f"does not compile for {said} of" in output) if said else not output


def test_a_list_that_nvcc_knows_nothing_of_is_named(tmp_path, monkeypatch):
    nvcc = fake_toolkit(tmp_path, "#!/bin/sh\necho compute_90\n") / "bin/nvcc"
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "3.5;Fermi")
    with pytest.raises(ValueError, match=r"TORCH_CUDA_ARCH_LIST=3\.5 Fermi: .*compiles for none"):
        setup_functions(monkeypatch)["cuda_architectures"](str(nvcc))
