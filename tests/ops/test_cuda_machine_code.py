"""What nvcc makes of the kernels, read from the machine code: nothing here needs a card."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from .built_extension import built_just_now

ROOT = Path(__file__).parents[2]
HOME = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
NVCC = HOME / "bin/nvcc" if (HOME / "bin/nvcc").exists() else shutil.which("nvcc")
KERNELS = ("float", "double", "half", "bfloat16")
THREADS = 256  # of a block, kThreads in plan.h

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not NVCC, reason="no nvcc")]


class Kernel(NamedTuple):
    """A kernel's machine code: how often each instruction occurs, registers and stack bytes of a thread."""

    name: str
    vector: int
    group: int
    split: int
    instructions: Counter
    additions: set[int]  # where they go, in bytes from the registers that hold the addresses
    registers: int
    stack: int


def tool(name):
    """Of the CUDA toolkit, or of those that triton brings along."""
    bundled = Path(sys.prefix, "lib").glob(f"python*/site-packages/triton/backends/nvidia/bin/{name}")
    return shutil.which(name) or next(map(str, bundled), None)


def installed_for(architecture):
    """The installed extension, if it holds this source's kernels for an architecture."""
    library = built_just_now()
    if library is None:
        return None
    command = [tool("cuobjdump"), "--list-elf", str(library)]
    listed = subprocess.run(command, capture_output=True, text=True).stdout
    return library if f".sm_{architecture}.cubin" in listed else None


def kernels_of(file, architecture):
    """The forward and backward kernels in a file of machine code."""
    environment = {**os.environ, "PATH": f"{Path(tool('nvdisasm')).parent}:{os.environ['PATH']}"}

    def dump(what):
        command = [tool("cuobjdump"), "-arch", f"sm_{architecture}", what, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    found = re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+)", dump("-res-usage"))
    usage = {name: (int(registers), int(stack)) for name, registers, stack in found}
    for text in re.split(r"\n\s*Function : ", dump("-sass"))[1:]:
        name = text.split("\n", 1)[0].strip()
        division = re.search(r"(?:forward|backward)I.*?Li(\d+)ELi(\d+)ELi(\d+)EE", name)
        if division is None:  # the ordered kernel
            continue
        line = r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)"
        instructions = Counter(re.findall(line, text, re.M))
        offsets = re.findall(r"\bREDG?\.\S+ \[R\d+\.64(?:\+(0x[0-9a-f]+))?\]", text)
        additions = {int(offset or "0", 16) for offset in offsets}
        yield Kernel(name, *map(int, division.groups()), instructions, additions, *usage[name])


@pytest.fixture(scope="module", params=["80", "90"])
def kernels(request, tmp_path_factory):
    """Those of every element type, compiled for one architecture."""
    if tool("cuobjdump") is None or tool("nvdisasm") is None:
        pytest.skip("no cuobjdump or nvdisasm")
    folder = tmp_path_factory.mktemp(f"sm_{request.param}")
    installed = installed_for(request.param)

    def compile_one(kind):
        source, target = ROOT / f"ops/cuda/kernels_{kind}.cu", folder / f"{kind}.cubin"
        command = [NVCC, "-std=c++17", "-O3", "-cubin", f"-arch=sm_{request.param}", source, "-o", target]
        subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        return list(kernels_of(target, request.param))

    if installed:
        found = list(kernels_of(installed, request.param))
    else:
        with ThreadPoolExecutor(2) as pool:
            found = [kernel for kernels in pool.map(compile_one, KERNELS) for kernel in kernels]
    assert len([k for k in found if "forward" in k.name]) == len([k for k in found if "backward" in k.name])
    assert len(found) == 2 * (6 + 6 + 6 + 1)
    return request.param, found


def count(kernel, *families):
    return sum(number for name, number in kernel.instructions.items() if name.split(".", 1)[0] in families)


def test_gradients_are_added_without_asking_where_the_address_lies(kernels):
    """Generic atomics ask whether an address is shared memory (QSPC), to loop over compare-and-swap there."""
    for kernel in kernels[1]:
        assert count(kernel, "QSPC", "ATOM", "ATOMS", "ATOMG") == 0, kernel.name


def test_each_corner_of_a_point_is_added_by_the_widest_reductions_there_are(kernels):
    architecture, found = kernels
    for kernel in found:
        additions = count(kernel, "RED", "REDG")
        if "forward" in kernel.name:
            assert additions == 0
            continue
        for_a_row = kernel.vector // 4 if architecture == "90" and kernel.vector > 1 else kernel.vector
        assert additions > 0
        assert additions % (4 * for_a_row) == 0, kernel.name
        assert additions <= 3 * 4 * for_a_row, (
            kernel.name
        )  # two points at once, and the last of an odd number


def test_neighbouring_lanes_add_to_neighbouring_addresses(kernels):
    """Where numbers are added one by one, lanes go through a row in turns, four bytes of the input a turn."""
    architecture, found = kernels
    dealt = [k for k in found if "backward" in k.name and k.vector > 1 and k.group < 32]
    assert len(dealt) == 3 * 4
    for kernel in dealt if architecture == "80" else ():
        in_a_word = kernel.vector // 4
        turn = kernel.group * in_a_word * 4
        assert kernel.additions == {u * turn + 4 * i for u in range(4) for i in range(in_a_word)}, kernel.name


def test_the_fast_kernels_do_not_spill(kernels):
    """Those of 32 channels in float32, float16 and bfloat16, with several items to a warp and with one."""
    fast = [k for k in kernels[1] if re.search(r"(fLi4ELi8E|(Half|BFloat16)ELi8ELi4E)", k.name)]
    assert len(fast) == 12
    assert {k.name: k.stack for k in fast if k.stack} == {}


def test_as_many_blocks_fit_on_a_multiprocessor_as_the_plan_counts_on(kernels):
    for kernel in kernels[1]:
        resident = 2 if kernel.split > 1 else 3
        assert kernel.registers * THREADS * resident <= 65536, kernel.name
