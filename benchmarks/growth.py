"""How time and memory grow: with the image's side, the batch, queries and objects, with the exponent.

    python benchmarks/growth.py --json benchmarks/results/growth_cpu.json --plot docs/images/growth.png

Deformable DETR R50 and DETR R50 as the Detector runs them, float32, random weights. Every point is a process
of its own, so that its memory is its own. Objects matter in training alone: the matcher and the losses of a
step of Deformable DETR R50 (batch 2, 300 queries, six layers), forward and backward.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from children import in_child, peak_megabytes
from timing import add_clock, measured_on, reuse_heap

from detr_kit import build_network
from detr_kit.inference.ready_network import ready_network
from detr_kit.losses import criterion_for
from detr_kit.structures import DetectorOutput

NETWORKS = ("deformable_detr_r50", "detr_r50")
AXES: dict[str, tuple[int, ...]] = {
    "side": (400, 566, 800, 1131, 1600),
    "batch": (1, 2, 4, 8),
    "queries": (100, 200, 300, 600, 900),
    "objects": (1, 5, 20, 100, 500),
}
USUAL = {"side": 640, "batch": 1, "queries": 300}
SMALL_SIDE = 320  # of the images of a batch
LAYERS, CLASSES, TRAINING_BATCH = 6, 91, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    add_clock(parser)
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--plot", help="draw them there")
    options = parser.parse_args()
    reuse_heap()
    how = (options.threads, options.repeats, options.cpu_time)
    curves = []
    for axis in options.axes:
        for name in NETWORKS if axis != "objects" else NETWORKS[:1]:
            points = [in_child(_objects if axis == "objects" else _inference, name, axis, value, *how)
                      for value in AXES[axis]]  # fmt: skip
            curves.append(
                curve := {"axis": axis, "network": name, "at": list(AXES[axis]), **_columns(points)}
            )
            print(f"{axis:8} {name:20} {curve}", flush=True)
    report = {**measured_on(options), "curves": curves}
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(report, options.plot)


def exponent(at: list[int], values: list[float]) -> float:
    """Of the power of `at` that fits best."""
    return float(np.polyfit(np.log(at), np.log(values), 1)[0])


def _columns(points: list[tuple[float, float]]) -> dict[str, list[float]]:
    milliseconds, megabytes = zip(*points, strict=True)
    return {"milliseconds": list(milliseconds), "megabytes": list(megabytes)}


def _inference(
    name: str, axis: str, value: int, threads: int, repeats: int, cpu_time: bool
) -> tuple[float, float]:
    """(median ms, MB above what the network itself takes) of a call."""
    torch.set_num_threads(threads)
    size = {**USUAL, axis: value}
    side = SMALL_SIDE if axis == "batch" else size["side"]
    network = ready_network(build_network(name, num_queries=size["queries"]).eval())
    images = torch.randn(size["batch"], 3, side, side)
    return _measured(torch.inference_mode()(lambda: network(images, None)), repeats, cpu_time)


def _objects(
    name: str, axis: str, value: int, threads: int, repeats: int, cpu_time: bool
) -> tuple[float, float]:
    torch.set_num_threads(threads)
    criterion = criterion_for(build_network(name))
    shape = (LAYERS, TRAINING_BATCH, USUAL["queries"])
    logits, boxes = torch.randn(*shape, CLASSES, requires_grad=True), torch.rand(*shape, 4) * 0.5 + 0.2
    boxes.requires_grad_()
    targets = [
        {"labels": torch.randint(0, CLASSES, (value,)), "boxes": torch.rand(value, 4) * 0.3 + 0.2}
        for _ in range(TRAINING_BATCH)
    ]

    def step() -> None:
        layers = list(zip(logits.unbind(0), boxes.unbind(0), strict=True))
        output = DetectorOutput(*layers[-1], layers[:-1], classification="focal")
        sum(criterion.weighted(criterion(output, targets)).values()).backward()

    return _measured(step, repeats, cpu_time)


def _measured(call: Callable[[], Any], repeats: int, cpu_time: bool) -> tuple[float, float]:
    clock = time.process_time if cpu_time else time.perf_counter
    megabytes, times = peak_megabytes(call), []
    for _ in range(repeats):
        start = clock()
        call()
        times.append((clock() - start) * 1e3)
    return statistics.median(times), megabytes


def plot(report: dict[str, Any], path: str) -> None:
    """Time above, memory below; both axes logarithmic, so that a power is a line."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    axes = list(dict.fromkeys(curve["axis"] for curve in report["curves"]))
    figure, grid = pyplot.subplots(2, len(axes), figsize=(3.2 * len(axes), 6), squeeze=False)
    for curve in report["curves"]:
        column = axes.index(curve["axis"])
        for row, unit in enumerate(("milliseconds", "megabytes")):
            values = [max(value, 1e-3) for value in curve[unit]]
            label = f"{curve['network']}, {exponent(curve['at'], values):.2f}"
            grid[row][column].loglog(curve["at"], values, "o-", label=label)
            grid[row][column].set(xlabel=curve["axis"], ylabel=unit)
            grid[row][column].set_xticks(curve["at"], [str(value) for value in curve["at"]])
            grid[row][column].minorticks_off()
    for panel in grid.flat:
        panel.legend(fontsize=7)
        panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
