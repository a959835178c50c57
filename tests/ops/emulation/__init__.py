"""The CUDA kernels run on the processor: their very source, with an emulator in place of the device."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[3]
TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}  # as in ops/array.h
PLAN = (
    "units",
    "tiles",
    "unit_queries",
    "tiled",
    "group",
    "split",
    "vector",
    "threads",
    "blocks",
    "shared_bytes",
)
MARGIN = 64  # elements of a known number before and after each result, to catch writes beyond it
MARK = 7.0


def compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "c++"))


def integers(numbers) -> ctypes.Array:
    numbers = [int(number) for number in numbers]
    return (ctypes.c_int64 * max(len(numbers), 1))(*numbers)


class Guarded:
    """A result with margins; starts as NaN, so that what the kernel leaves out shows."""

    def __init__(self, shape, dtype, fill=float("nan")) -> None:
        count = int(torch.Size(shape).numel())
        self.memory = torch.full((count + 2 * MARGIN,), MARK, dtype=dtype)
        self.tensor = self.memory[MARGIN : MARGIN + count].view(shape).fill_(fill)

    def checked(self) -> Tensor:
        margins = torch.cat([self.memory[:MARGIN], self.memory[len(self.memory) - MARGIN :]])
        assert (margins == MARK).all(), "written outside the result"
        return self.tensor


def shared_emulator(tmp_path_factory) -> Emulator:
    """Compiled once for all tests of a run."""
    global _emulator
    if _emulator is None:
        _emulator = Emulator(tmp_path_factory.mktemp("emulation"))
    return _emulator


_emulator: Emulator | None = None


class Emulator:
    """Compiles the kernels; `run` computes as the op does, `plan` and `places` say how work is cut up."""

    def __init__(self, folder: Path) -> None:
        library = folder / "emulation.so"
        command = [compiler(), "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Werror"]
        command += ["-fsanitize=undefined", "-fno-sanitize-recover=undefined"]
        command += [f"-I{Path(__file__).parent}", f"-I{ROOT / 'ops'}"]
        command += ["-isystem", str(Path(torch.__file__).parent / "include")]
        command += [str(Path(__file__).parent / "emulation.cpp"), "-o", str(library)]
        subprocess.run(command, check=True)
        self.library = ctypes.CDLL(str(library))
        self.library.run.restype = ctypes.c_char_p

    def run(
        self, inputs: dict[str, Tensor], shapes, fused: bool, grad_output=None, limits=(0, 0, 0), order=0,
        deterministic=False, adds_four=True,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The output, or with `grad_output` the gradients by the names of the inputs.

        `adds_four` numbers with one instruction, as cards from sm_90 on do.
        """
        coordinates, weights = (
            ("sampling_offsets", "attention_logits") if fused else ("sampling_locations", "attention_weights")
        )
        value = inputs["value"]
        exact = torch.promote_types(value.dtype, torch.float32)
        given = {name: inputs[name].contiguous() for name in ("value", coordinates, weights)}
        arrays: list[Tensor | None] = [*given.values(), None]
        dim = 0
        if fused:
            arrays[3] = inputs["reference_points"].to(exact).contiguous()
            dim = arrays[3].shape[-1]
        batch, rows, heads, head_dim = value.shape
        _, queries, _, levels, points, _ = given[coordinates].shape
        sizes = batch, rows, queries, heads, head_dim, levels, points, dim
        backward = grad_output is not None
        results = {}
        if backward:
            results["value"] = Guarded(value.shape, exact, 0.0)
            results[coordinates] = Guarded(given[coordinates].shape, given[coordinates].dtype)
            results[weights] = Guarded(given[weights].shape, given[weights].dtype)
            if fused:
                results["reference_points"] = Guarded((batch, queries, heads, levels, dim), exact)
            arrays += [None, grad_output.contiguous(), None if deterministic else results["value"].tensor]
            arrays += [results[coordinates].tensor, results[weights].tensor]
            arrays += [results["reference_points"].tensor if fused else None]
        else:
            results["output"] = Guarded((batch, queries, heads * head_dim), value.dtype)
            arrays += [results["output"].tensor, *[None] * 5]
        self._call(1 if backward else 0, sizes, shapes, limits, order, arrays, adds_four)
        if deterministic:
            arrays[6] = results["value"].tensor
            self._call(2, sizes, shapes, limits, order, arrays, adds_four)
        done = {name: result.checked() for name, result in results.items()}
        if "reference_points" in done:
            done["reference_points"] = done["reference_points"].sum(2)
        return done

    def _call(
        self, kernel: int, sizes, shapes, limits, order: int, arrays: list[Tensor | None], adds_four: bool
    ) -> None:
        pointers = (ctypes.c_void_p * 10)(*[a if a is None else a.data_ptr() for a in arrays])
        types = (ctypes.c_int * 10)(*[TYPES[a.dtype] if a is not None else 0 for a in arrays])
        message = self.library.run(
            integers(sizes), integers(n for s in shapes for n in s), integers(limits), pointers, types,
            ctypes.c_int(kernel), ctypes.c_int(order), ctypes.c_bool(adds_four),
        )  # fmt: skip
        assert message is None, message.decode()

    def plan(self, sizes, shapes, dtype=torch.float32, backward=False, limits=(0, 0, 0)) -> dict[str, int]:
        out = integers([0] * len(PLAN))
        self.library.plan_of(
            integers(sizes), integers(n for s in shapes for n in s), integers(limits), TYPES[dtype],
            ctypes.c_bool(backward), out,
        )  # fmt: skip
        return dict(zip(PLAN, out, strict=True))

    def places(self, sizes, shapes, begin, count, dtype=torch.float32, limits=(0, 0, 0)):
        """(image, head, queries) of units; a query of -1 is a place over the edge."""
        slots = self.plan(sizes, shapes, dtype, limits=limits)["unit_queries"]
        image, head, queries = (integers([0] * n) for n in (count, count, count * slots))
        self.library.places_of(
            integers(sizes), integers(n for s in shapes for n in s), integers(limits), TYPES[dtype],
            ctypes.c_int64(begin), ctypes.c_int64(count), image, head, queries,
        )  # fmt: skip
        return list(image), list(head), torch.tensor(list(queries)).view(count, slots)
