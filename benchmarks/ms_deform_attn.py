"""Multi-scale deformable attention on the CPU against the usual `grid_sample` formulation.

python benchmarks/ms_deform_attn.py --out benchmarks/results/ms_deform_attn_cpu.json
python benchmarks/ms_deform_attn.py --threads 1 --peer torch_ms_deform_attn:ms_deform_attn

With --peer another implementation takes turns with `ms_deform_attn` and `grid_sample`, in float32. It is
called as the original op (value, spatial_shapes, level_start_index, sampling_locations, attention_weights),
the shapes as tensors; its output must be ours. --cpu-time is for a machine that others are using.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from timing import interleaved_medians, reuse_heap

if __name__ == "__main__":
    reuse_heap()

import torch
from torch import Tensor

from detr_kit.ops import backend_report, ms_deform_attn, ms_deform_attn_fused
from detr_kit.ops.reference import ms_deform_attn_reference, sampling_locations_of


class Case(NamedTuple):
    levels: list[tuple[int, int]]
    queries: int | None  # None: one for each pixel
    points: tuple[int, ...]  # of each level; ours pads to the largest, with points of no weight
    head_dim: int = 32


COCO = [(100, 167), (50, 84), (25, 42), (13, 21)]  # an 800 × 1333 image at strides 8, 16, 32, 64
RT_DETR = [(80, 80), (40, 40), (20, 20)]  # 640 × 640
CASES = {
    "encoder": Case(COCO, None, (4, 4, 4, 4)),
    "decoder 300": Case(COCO, 300, (4, 4, 4, 4)),
    "decoder 900": Case(COCO, 900, (4, 4, 4, 4)),
    "rt-detr decoder 300": Case(RT_DETR, 300, (4, 4, 4)),
    "d-fine decoder 300": Case(RT_DETR, 300, (3, 6, 3)),
    "d-fine-n decoder 300": Case(RT_DETR[1:], 300, (6, 6), head_dim=16),
}
HEADS = 8


def make_inputs(case: Case, local: bool) -> dict[str, Tensor]:
    """Random inputs; local: around reference points as a network starts (radial offsets and noise)."""
    levels, queries, points, head_dim = case
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[width, height] for height, width in levels], dtype=torch.float32)
    if queries is None:
        grids = [
            torch.cartesian_prod((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w).flip(-1)
            for h, w in levels
        ]
        centres = torch.cat(grids)
    else:
        centres = torch.rand(queries, 2, generator=generator)
    count = len(centres)
    reference = centres[None, :, None].expand(1, count, len(levels), 2).contiguous()
    angles = torch.arange(HEADS) * (2 * math.pi / HEADS)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    directions = directions / directions.abs().max(-1, keepdim=True)[0]
    shape = (1, count, HEADS, len(levels), max(points), 2)
    radial = directions[:, None, None] * torch.arange(1, max(points) + 1)[:, None]
    offsets = radial + torch.randn(shape, generator=generator)
    logits = torch.randn(shape[:-1], generator=generator)
    logits[..., torch.arange(max(points)) >= torch.tensor(points)[:, None]] = -math.inf
    if not local:
        locations = torch.rand(shape, generator=generator)
        offsets = (locations - reference[:, :, None, :, None]) * sizes[:, None]
    return {
        "value": torch.randn(1, sum(h * w for h, w in levels), HEADS, head_dim, generator=generator),
        "reference_points": reference,
        "sampling_offsets": offsets,
        "attention_logits": logits,
        "sampling_locations": reference[:, :, None, :, None] + offsets / sizes[:, None],
        "attention_weights": logits.flatten(-2).softmax(-1).view_as(logits),
    }


def grid_samples(case: Case) -> tuple[Callable, Callable]:
    """What is usually written instead of either entry: `grid_sample` of each level's own points."""
    sizes = [height * width for height, width in case.levels]

    def classical(value: Tensor, levels: list, starts: object, locations: Tensor, weights: Tensor) -> Tensor:
        if len(set(case.points)) == 1:
            return ms_deform_attn_reference(value, levels, starts, locations, weights)
        parts = zip(value.split(sizes, 1), levels, range(len(levels)), case.points, strict=True)
        outputs = [
            ms_deform_attn_reference(
                v, [s], None, locations[:, :, :, i : i + 1, :p], weights[:, :, :, i : i + 1, :p]
            )
            for v, s, i, p in parts
        ]
        return torch.stack(outputs).sum(0)

    def fused(
        value: Tensor, levels: list, starts: object, reference: Tensor, offsets: Tensor, logits: Tensor
    ):
        dtype = torch.promote_types(value.dtype, torch.float32)
        locations = sampling_locations_of(levels, reference.to(dtype), offsets.to(dtype))
        weights = logits.to(dtype).flatten(-2).softmax(-1).view_as(logits)
        return classical(value, levels, starts, locations, weights)

    return classical, fused


def load_peer(path: str) -> Callable:
    module, _, function = path.partition(":")
    if not function:
        raise SystemExit(f"--peer {path!r}: give package.module:function")
    return getattr(importlib.import_module(module), function)


def called_as_ours(peer: Callable, levels: list[tuple[int, int]]) -> Callable:
    shapes = torch.tensor(levels)
    starts = torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]))
    return lambda value, _shapes, _starts, *points: peer(value, shapes, starts, *points)


def measure(
    name: str,
    local: bool,
    backward: bool,
    seconds: float,
    *,
    warm: bool,
    peer: str | None,
    clock: Callable[[], float],
) -> dict[str, float]:
    case = CASES[name]
    levels = case.levels
    inputs = make_inputs(case, local)
    grid_sample, grid_sample_from_offsets = grid_samples(case)
    classical = [inputs[k] for k in ("value", "sampling_locations", "attention_weights")]
    raw = [inputs[k] for k in ("value", "reference_points", "sampling_offsets", "attention_logits")]
    half = [raw[0].bfloat16(), raw[1], raw[2].bfloat16(), raw[3].bfloat16()]
    runs = {
        "grid_sample": (grid_sample, classical),
        "grid_sample from offsets": (grid_sample_from_offsets, raw),
        "ms_deform_attn": (ms_deform_attn, classical),
        "ms_deform_attn bf16 value": (ms_deform_attn, [half[0], *classical[1:]]),
        "fused": (ms_deform_attn_fused, raw),
        "fused bf16": (ms_deform_attn_fused, half),
    }
    if peer is not None:
        theirs = called_as_ours(load_peer(peer), levels)
        torch.testing.assert_close(
            theirs(classical[0], levels, None, *classical[1:]),
            ms_deform_attn(classical[0], levels, None, *classical[1:]),
            rtol=1e-4, atol=1e-5,
        )  # fmt: skip
        runs = {key: runs[key] for key in ("grid_sample", "ms_deform_attn")} | {peer: (theirs, classical)}

    def runner(entry, arguments):
        # as in training: everything but the encoder's reference points wants a gradient
        leaves = [a.detach().clone().requires_grad_(backward) for a in arguments]
        if len(leaves) == 4:
            leaves[1].requires_grad_(False)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        with torch.no_grad():
            gradient = torch.ones_like(entry(leaves[0], levels, None, *leaves[1:]))

        def forward() -> None:
            with torch.no_grad():
                entry(leaves[0], levels, None, *leaves[1:])

        def both() -> None:
            torch.autograd.grad(entry(leaves[0], levels, None, *leaves[1:]), wanted, gradient)

        def write_value() -> None:
            leaves[0].detach().copy_(arguments[0])

        call = both if backward else forward
        return call, call if warm else write_value

    # In a network the value projection has just written `value`: each side starts with caches in that state.
    pairs = {key: runner(*run) for key, run in runs.items()}
    return interleaved_medians(
        {key: run for key, (run, _) in pairs.items()},
        seconds,
        before={key: write for key, (_, write) in pairs.items()},
        clock=clock,
    )


def baseline(times: dict[str, float], name: str) -> float:
    """What an entry replaces: sampling alone, or softmax, locations and sampling."""
    return times["grid_sample from offsets" if "fused" in name else "grid_sample"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each line of the table")
    parser.add_argument(
        "--warm", action="store_true", help="let each call follow one of the same, not the writing of value"
    )
    parser.add_argument("--peer", help="package.module:function, another implementation beside ours")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for --threads 1")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    load = os.getloadavg()[0]
    if not arguments.cpu_time and load + max(arguments.threads) > (os.cpu_count() or 1) + 0.5:
        print(f"warning: load average {load:.1f}; with no core to itself a thread's waiting is measured too")
    how = dict(warm=arguments.warm, peer=arguments.peer, clock=clock)
    rows = []
    head = ["case", "locations", "threads", "pass", "grid_sample ms", "ours ms", "ratio"]
    if arguments.peer:
        head += [f"{arguments.peer.partition(':')[0]} ms", "ratio", "ours to it"]
    else:
        head += ["bf16 value ms", "ratio", "fused ms", "ratio", "fused bf16 ms", "ratio"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name in arguments.cases:
        for local in (True, False):
            for threads in arguments.threads:
                for backward in (False, True):
                    torch.set_num_threads(threads)
                    times = measure(name, local, backward, arguments.seconds, **how)
                    row = {
                        "case": name,
                        "locations": "local" if local else "uniform",
                        "threads": threads,
                        "pass": "forward+backward" if backward else "forward",
                        "median_ms": {key: round(value, 4) for key, value in times.items()},
                        "ratio": {
                            key: round(baseline(times, key) / value, 2)
                            for key, value in times.items()
                            if "grid_sample" not in key
                        },
                    }  # fmt: skip
                    rows.append(row)
                    cells = [name, row["locations"], threads, row["pass"], f"{times['grid_sample']:.2f}"]
                    for key, ratio in row["ratio"].items():
                        cells += [f"{times[key]:.2f}", f"{ratio:.1f}×"]
                    if arguments.peer:
                        cells.append(f"{times[arguments.peer] / times['ms_deform_attn']:.1f}×")
                    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        machine = {"processor": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__,
                   "backend": backend_report()[0]["reason"], "load_average": load,
                   "clock": clock.__name__}  # fmt: skip
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
