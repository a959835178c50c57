"""Runs side by side: AP on validation and losses of each, in one picture and one JSON file.

A run is a work directory, or the AP that is known of it, as EPOCH:AP,EPOCH:AP.

python benchmarks/training_curves.py DINO=work_dirs/dino_160 two-stage=2:0.250,4:0.296,6:0.388 \
    --picture docs/images/bccd_dino_curves.png --out benchmarks/results/bccd_dino_curves.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from detr_kit.engine.hooks.curves import read_scalars


def curve_of(run: str) -> dict[str, Any]:
    if re.fullmatch(r"[\d.:,]+", run):
        pairs = [pair.split(":") for pair in run.split(",")]
        return {"epochs": [int(epoch) for epoch, _ in pairs], "AP": [float(ap) for _, ap in pairs]}
    work_dir = Path(run)
    lines = read_scalars(work_dir)
    if not any("coco/AP" in line for line in lines):
        raise SystemExit(f"{work_dir}: no run with validations")
    validations = [line for line in lines if "coco/AP" in line]
    train = [line for line in lines if "loss" in line]
    return {
        "epochs": [line["step"] for line in validations],
        "AP": [round(line["coco/AP"], 4) for line in validations],
        "AP50": [round(line["coco/AP50"], 4) for line in validations],
        "iterations": [line["step"] for line in train],
        "matched_iou": [round(line["matched_iou"], 4) for line in train],
        "seconds_a_step": round(sum(line["time"] for line in train) / len(train), 3),
    }


def draw(curves: dict[str, dict[str, Any]], path: Path) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
    shown = (
        ("AP", "epochs", "epoch"),
        ("AP50", "epochs", "epoch"),
        ("matched_iou", "iterations", "iteration"),
    )
    for axis, (figure_of, along, label) in zip(axes, shown, strict=True):
        for name, curve in curves.items():
            if figure_of not in curve:
                continue
            marker = "." if along == "epochs" else None
            axis.plot(curve[along], curve[figure_of], marker=marker, label=name)
        axis.set(title=figure_of.replace("_", " "), xlabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    curves = {}
    for run in options.runs:
        name, _, folder = run.partition("=")
        curves[name] = curve_of(folder)
        print(f"| {name} | " + " | ".join(f"{ap:.3f}" for ap in curves[name]["AP"]) + " |")
    if options.picture:
        draw(curves, options.picture)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(curves) + "\n")


if __name__ == "__main__":
    main()
