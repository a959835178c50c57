"""AP against time of two or more runs: curves from their logs, seconds a step measured in turns.

    detr-kit train deformable_detr_r18_shapes --work-dir A …; detr-kit train d_fine_n_shapes --work-dir B …
    python benchmarks/equal_time.py A B --json curves.json --image curves.png
    python benchmarks/equal_time.py deformable_detr_r18_shapes d_fine_n_shapes --data-root DATA   # only times

A run's own clock counts what else the machine did, and runs follow each other. Here the steps of all take
turns, on real batches that are read before the clock starts; a validation's time is steps until then, times
the median.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from timing import add_clock, clock_of, interleaved_medians, reuse_heap
from torch.utils.data import DataLoader

from detr_kit.config import read_config
from detr_kit.data import pad_collate
from detr_kit.engine.hooks.curves import read_scalars
from detr_kit.registry import DATASETS, MODELS

BATCHES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="work directories, or configs")
    parser.add_argument("--data-root", help="instead of the configs'")
    parser.add_argument("--seconds", type=float, default=60, help="of timing (60)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_clock(parser)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--image", type=Path)
    options = parser.parse_args()
    reuse_heap()
    logging.disable(logging.WARNING)  # a line for every parameter with settings of its own
    init_default_scope("detr_kit")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    configs = {name: _config(name, options.data_root) for name in options.runs}
    prepared = {name: _step(config) for name, config in configs.items()}
    functions = {name: step for name, (step, _) in prepared.items()}
    medians = interleaved_medians(functions, options.seconds, clock=clock_of(options))
    curves = []
    for name, (_, steps) in prepared.items():
        seconds = medians[name] / 1e3
        curve = [
            {"epoch": line["step"], "minutes": line["step"] * steps * seconds / 60, "AP": line["coco/AP"]}
            for line in (read_scalars(name) if Path(name).is_dir() else [])
            if "coco/AP" in line
        ]
        curves.append({"run": Path(name).name, "step_ms": medians[name], "steps": steps, "curve": curve})
        print(f"{name}: {medians[name]:.0f} ms a step, {steps} steps an epoch, {steps * seconds:.0f} s")
        for point in curve:
            print(f"  epoch {point['epoch']:>3}  {point['minutes']:6.2f} min  AP {point['AP']:.3f}")
    if options.json:
        report = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, torch {torch.__version__}, {options.threads} threads",
            "clock": "processor time" if options.cpu_time else "time",
            "runs": curves,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.image:
        _draw(curves, options.image)


def _config(name: str, data_root: str | None) -> Config:
    """The config of a run, as it lies in its work directory, or a shipped one."""
    path = next(Path(name).glob("*.py"), None) if Path(name).is_dir() else None
    config = read_config(path or name)
    config.data_root = data_root or config.data_root
    return config


def _step(config: Config) -> tuple[Callable[[], Any], int]:
    """One step of training on the next of a few batches, and how many steps an epoch has."""
    loader = config.train_dataloader
    dataset = DATASETS.build({**loader.dataset, "data_root": config.data_root})
    batches = list(
        itertools.islice(
            DataLoader(dataset, batch_size=loader.batch_size, shuffle=True, collate_fn=pad_collate), BATCHES
        )
    )
    model = MODELS.build(config.model).train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    turns = itertools.cycle(batches)
    return lambda: model.train_step(next(turns), wrapper), len(dataset) // loader.batch_size


def _draw(curves: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    for run in curves:
        minutes = [point["minutes"] for point in run["curve"]]
        axes.plot(minutes, [point["AP"] for point in run["curve"]], marker=".", label=run["run"])
    axes.set(xlabel="minutes of training steps", ylabel="AP, held out")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
