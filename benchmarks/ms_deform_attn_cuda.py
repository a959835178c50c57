"""Multi-scale deformable attention on a GPU against `grid_sample`, compiled `grid_sample` and any peer.

python benchmarks/ms_deform_attn_cuda.py --out benchmarks/results/ms_deform_attn_cuda.json
python benchmarks/ms_deform_attn_cuda.py --peer MultiScaleDeformableAttention_wrapper:ms_deform_attn

Where Triton is installed, its kernels are measured too. Every contender is timed as a CUDA graph, so that no
one's Python is in the way; what cannot be captured is timed eagerly and marked "(eager)". With --eager all of
them are. Results are written after every row.

A peer is called as the original op: (value, spatial_shapes, level_start_index, sampling_locations,
attention_weights), the shapes as tensors on the GPU, and its gradients are taken through autograd.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import torch
from ms_deform_attn import CASES, HEADS, grid_samples, load_peer, make_inputs

from detr_kit.ops import backend_report, ms_deform_attn, ms_deform_attn_fused, use_backend

CLASSICAL = ("value", "sampling_locations", "attention_weights")
FUSED = ("value", "reference_points", "sampling_offsets", "attention_logits")
Run = Callable[[], object]


class Timer:
    """Medians of device times; the runs take turns, and each begins with the L2 cache full of other data."""

    def __init__(self, milliseconds: float) -> None:
        self.budget = milliseconds
        cache = torch.cuda.get_device_properties(0).L2_cache_size
        self.flush = torch.empty(2 * cache, dtype=torch.uint8, device="cuda")

    def once(self, run: Run) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.flush.zero_()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    def medians(self, runs: dict[str, Run]) -> dict[str, float]:
        spent = 0.0
        for run in runs.values():
            for _ in range(3):
                run()
            spent += self.once(run)
        rounds = max(5, min(100, int(self.budget / max(spent, 1e-3))))
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                times[name].append(self.once(run))
        return {name: statistics.median(values) for name, values in times.items()}


def graphed(run: Run) -> Run:
    """The same launches replayed from a graph, so that Python's overhead does not hide short kernels."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def make_runs(name: str, local: bool, backward: bool, peers: dict[str, Callable]) -> dict[str, Run]:
    """What is to be measured, as plain calls."""
    case = CASES[name]
    levels = case.levels
    inputs = {key: tensor.cuda() for key, tensor in make_inputs(case, local).items()}
    half = {key: tensor.bfloat16() for key, tensor in inputs.items()}
    half["reference_points"] = inputs["reference_points"]
    mixed = {**inputs, "value": half["value"]}
    shapes = torch.tensor(levels, device="cuda")
    starts = torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]))

    def run(entry: Callable, names: tuple[str, ...], given: dict, *shape_arguments: object) -> Run:
        leaves = [given[key].detach().clone().requires_grad_(backward) for key in names]
        if "reference_points" in names:
            leaves[1].requires_grad_(False)  # as in the encoder
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        with torch.no_grad():
            gradient = torch.randn_like(entry(leaves[0], *shape_arguments, *leaves[1:]))

        def forward() -> None:
            with torch.no_grad():
                entry(leaves[0], *shape_arguments, *leaves[1:])

        def both() -> None:
            torch.autograd.grad(entry(leaves[0], *shape_arguments, *leaves[1:]), wanted, gradient)

        return both if backward else forward

    def triton(*given: object) -> torch.Tensor:
        with use_backend("triton"):
            return ms_deform_attn_fused(*given)

    grid_sample, grid_sample_from_offsets = grid_samples(case)
    runs = {
        "grid_sample": run(grid_sample, CLASSICAL, inputs, levels, None),
        "grid_sample from offsets": run(grid_sample_from_offsets, FUSED, inputs, levels, None),
        "ms_deform_attn": run(ms_deform_attn, CLASSICAL, inputs, levels, None),
        "ms_deform_attn bf16 value": run(ms_deform_attn, CLASSICAL, mixed, levels, None),
        "fused": run(ms_deform_attn_fused, FUSED, inputs, levels, None),
        "fused bf16": run(ms_deform_attn_fused, FUSED, half, levels, None),
    }
    if local:  # compiling takes many times longer than measuring, and uniform locations run the same code
        torch._dynamo.reset()  # a further shape would be one recompilation more, and after eight run eagerly
        runs["grid_sample compiled"] = run(torch.compile(grid_sample), CLASSICAL, inputs, levels, None)
        if find_spec("triton"):
            runs["fused in triton"] = run(triton, FUSED, inputs, levels, None)
            runs["fused bf16 in triton"] = run(triton, FUSED, half, levels, None)
    for peer, entry in peers.items():
        runs[peer] = run(entry, CLASSICAL, inputs, shapes, starts)
    return runs


def captured(runs: dict[str, Run]) -> dict[str, Run]:
    """Each as a graph; as it is, and named so, where it waits for the device or allocates outside torch."""
    graphs = {}
    for name, run in runs.items():
        try:
            graphs[name] = graphed(run)
        except RuntimeError:
            torch.cuda.synchronize()
            graphs[f"{name} (eager)"] = run
    return graphs


def ceilings(name: str) -> dict[str, float]:
    """What a forward pass in float32 has to move at the least, in MB."""
    levels, queries, points_of_levels, head_dim = CASES[name]
    rows = sum(height * width for height, width in levels)
    items = (queries or rows) * HEADS
    points = sum(points_of_levels)
    once = 4 * (rows * HEADS * head_dim + items * (3 * points + head_dim))
    return {"gathered_MB": items * points * 4 * head_dim * 4 / 1e6, "once_MB": once / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument(
        "--peer", action="append", default=[], help="package.module:function, as the original op"
    )
    parser.add_argument("--milliseconds", type=float, default=1500.0, help="of device time for each line")
    parser.add_argument("--eager", action="store_true", help="plain calls instead of CUDA graphs")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU: nothing to measure")
    peers = {path: load_peer(path) for path in arguments.peer}
    timer = Timer(arguments.milliseconds)
    card = torch.cuda.get_device_properties(0)
    machine = {"card": card.name, "multiprocessors": card.multi_processor_count,
               "L2_MB": card.L2_cache_size / 2**20, "torch": torch.__version__,
               "backend": backend_report()[1]["reason"]}  # fmt: skip
    rows: list[dict] = []
    for name, local, backward in product(arguments.cases, (True, False), (False, True)):
        runs = make_runs(name, local, backward, peers)
        times = timer.medians(runs if arguments.eager else captured(runs))
        row = {
            "case": name, "locations": "local" if local else "uniform",
            "pass": "forward+backward" if backward else "forward",
            "timed": "eagerly" if arguments.eager else "as CUDA graphs",
            "median_ms": {key: round(value, 4) for key, value in times.items()},
            "times_as_fast": {
                key: round(value / times["ms_deform_attn"], 2) for key, value in times.items()
                if not key.startswith(("ms_deform_attn", "fused"))
            },
            **ceilings(name),
        }  # fmt: skip
        print(f"{row['case']}, {row['locations']}, {row['pass']}: "
              + ", ".join(f"{key} {value:.3f} ms" for key, value in times.items()), flush=True)  # fmt: skip
        rows.append(row)
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
