"""A training step of a network: its time with our op and with grid_sample, denoising's share, its memory.

    python benchmarks/training_step.py --out benchmarks/results/training_step.json
    python benchmarks/training_step.py --memory --out benchmarks/results/training_memory.json

Steps take turns. That both ops give the same loss is checked before anything is timed. Memory is by how much
the highest resident size of a process grows that makes one step and nothing else: weights, gradients, AdamW's
two moments, activations and what kernels need for themselves.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

from timing import add_clock, clock_of, interleaved_medians, reuse_heap

if __name__ == "__main__" and "--memory" not in sys.argv:  # a heap that is never given back has no peak
    reuse_heap()

import torch
from torch import nn

from detr_kit import build_network
from detr_kit.losses import criterion_for
from detr_kit.ops import use_backend

OBJECTS = 7  # an image of COCO has 7.3
CLIP = 0.1
VARIANTS = {  # of the memory: (checkpointing, bfloat16)
    "float32": (False, False),
    "bfloat16": (False, True),
    "checkpointing": (True, False),
    "checkpointing, bfloat16": (True, True),
}


class Step:
    """Forward, losses, backward, clipping and AdamW for one batch of noise."""

    def __init__(self, config: str, batch: int, size: tuple[int, int]) -> None:
        torch.manual_seed(0)
        self.network: Any = build_network(config).train()
        self.criterion = criterion_for(self.network)
        self.images = torch.randn(batch, 3, *size)
        self.targets = [
            {
                "labels": torch.randint(self.network.num_classes, (OBJECTS,)),
                "boxes": 0.2 + 0.3 * torch.rand(OBJECTS, 4),
            }
            for _ in range(batch)
        ]
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        # No step moves the weights: every run computes the same.
        self.optimiser = torch.optim.AdamW(self.trained, lr=0.0, weight_decay=0.0, fused=True)

    def __call__(self, *, denoise: bool = True, half: bool = False) -> float:
        """The loss."""
        targets = (self.targets,) if denoise else ()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = self.network(self.images, None, *targets)
        losses = self.criterion.weighted(self.criterion(output, self.targets))
        loss = sum(losses.values())
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimiser.step()
        return float(loss.detach())


def times(step: Step, at_least: int, clock) -> dict[str, float]:
    def with_op(name: str, **arguments: bool) -> float:
        torch.manual_seed(1)  # the same noise
        with use_backend(name):
            return step(**arguments)

    functions = {"our op": lambda: with_op("native"), "grid_sample": lambda: with_op("reference")}
    ours, theirs = (function() for function in functions.values())
    assert abs(ours - theirs) < 1e-3 * abs(theirs), (ours, theirs)
    if getattr(step.network, "denoising", None) is not None:
        denoising = step.network.denoising

        def without_denoising() -> None:
            step.network.denoising = None
            with_op("native", denoise=False)
            step.network.denoising = denoising

        functions["our op, without denoising"] = without_denoising
    return interleaved_medians(functions, seconds=0, at_least=at_least, clock=clock)


def peaks(config: str, batch: int, size: tuple[int, int]) -> dict[str, float]:
    """MiB that a step takes, of each variant in a process of its own."""
    found = {}
    for name, (checkpointing, half) in VARIANTS.items():
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_one_peak, args=(theirs, torch.get_num_threads(), config, batch, size, checkpointing, half)
        )
        process.start()
        found[name] = ours.recv()
        process.join()
        print(f"  {name:<26} {found[name]:7.0f} MiB", flush=True)
    return found


def _one_peak(
    connection, threads: int, config: str, batch: int, size: tuple[int, int], checkpointing: bool, half: bool
) -> None:
    torch.set_num_threads(threads)
    before = _peak()
    step = Step(config, batch, size)
    for part in (step.network.backbone, step.network.transformer):
        part.checkpointing = checkpointing
    step(half=half)
    connection.send(_peak() - before)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default="dino_r50_4scale")
    parser.add_argument("--memory", action="store_true", help="measure memory, and no time")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, help="(480 640; with --memory 800 1066)")
    parser.add_argument("--runs", type=int, default=5, help="of each, in turn (5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_clock(parser)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    height, width = options.size or ((800, 1066) if options.memory else (480, 640))
    print(f"{options.config}: {options.batch} images of {height} × {width}, {OBJECTS} objects each")
    report: dict[str, Any] = {"config": options.config, "batch": options.batch, "size": [height, width]}
    if options.memory:
        report["peak_mib"] = peaks(options.config, options.batch, (height, width))
    else:
        medians = times(Step(options.config, options.batch, (height, width)), options.runs, clock_of(options))
        for name, milliseconds in medians.items():
            print(f"  {name:<26} {milliseconds:7.0f} ms  {milliseconds / medians['our op']:.2f}×")
        report |= {"median_ms": medians, "grid_sample_over_ours": medians["grid_sample"] / medians["our op"]}
        if "our op, without denoising" in medians:
            report["share_of_denoising"] = 1 - medians["our op, without denoising"] / medians["our op"]
            print(f"  denoising's share of a step: {report['share_of_denoising']:.0%}")
    if options.out:
        report["machine"] = {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "threads": options.threads,
            "load_average": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d"),
            "clock": "processor time" if options.cpu_time else "time",
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
