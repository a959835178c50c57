"""The install never fails for lack of a compiler, and one build serves every supported torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detr_kit.ops import backend

ROOT = Path(__file__).parents[2]


def build(tmp_path, **environment):
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--build-lib",
        tmp_path,
        "--build-temp",
        tmp_path / "t",
    ]
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_missing_compiler_is_a_warning(tmp_path):
    result = build(tmp_path, CC="/nowhere/cc", CXX="/nowhere/c++")
    assert result.returncode == 0
    assert (result.stdout + result.stderr).count("goes on without its native operators") == 1
    assert not list(tmp_path.rglob("*.so"))


def test_the_native_build_can_be_switched_off(tmp_path):
    result = build(tmp_path, DETR_KIT_NO_NATIVE="1")
    assert result.returncode == 0
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.skipif("cpu" not in backend._native_devices, reason="the native operator is not built")
def test_the_extension_needs_only_the_stable_abi():
    import detr_kit._C

    path = detr_kit._C.__file__
    assert ".abi3." in path
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", path], capture_output=True, text=True, check=True
    )
    unstable = [line.split()[-1] for line in symbols.stdout.splitlines() if "c10" in line or "2at" in line]
    assert unstable == []


def test_without_the_extension_the_op_warns_once_and_works():
    program = (
        "import sys, warnings; sys.modules['detr_kit._C'] = None\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import torch, detr_kit.ops as ops\n"
        "    for _ in range(2):\n"
        "        out = ops.ms_deform_attn(torch.ones(1, 4, 1, 8), [(2, 2)], None,\n"
        "            torch.full((1, 1, 1, 1, 1, 2), 0.5), torch.ones(1, 1, 1, 1, 1))\n"
        "assert torch.allclose(out, torch.ones(1, 1, 8))\n"
        "assert sum('pip install' in str(w.message) for w in caught) == 1, caught\n"
        "assert ops.backend_report()[0]['backend'] == 'reference'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=120)


def test_report_names_each_device():
    assert [row["device"] for row in backend.backend_report()] == ["cpu", "cuda"]
    assert all(row["reason"] for row in backend.backend_report())


def test_backend_is_chosen_for_a_block_or_for_good():
    before = backend._choice
    with backend.use_backend("reference"):
        assert backend.backend_report()[0]["backend"] == "reference"
    assert backend._choice == before
    with pytest.raises(ValueError, match="must be one of auto, native, triton, reference"):
        backend.use_backend("fastest")
