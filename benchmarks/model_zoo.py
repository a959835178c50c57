"""Parameters, multiply-adds and latency of every shipped config, as the table of docs/model_zoo.md.

python benchmarks/model_zoo.py --latency --out benchmarks/results/model_zoo.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from timing import interleaved_medians
from torch.utils.flop_counter import FlopCounterMode

import detr_kit
import detr_kit.ops  # loads the native operators that are counted below
from detr_kit.config import config_names, read_config

# 800 × 1066 is a 480 × 640 photograph, the commonest size in COCO, after the usual resizing.
SIZES = {"deformable_detr_r50_bccd": (480, 640)}
SIZES |= {name: (640, 640) for name in config_names() if name.startswith(("rt_detr", "d_fine"))}
SIZES |= {name: (128, 128) for name in config_names() if name.endswith("_shapes")}
COCO_SIZE = (800, 1066)


def sampling_flops(value_shape: Any, *shapes: Any, out_shape: Any = None, **_: Any) -> int:
    """Multi-scale deformable attention: four corners of D channels for each point, a multiply-add each."""
    weights_shape = shapes[-1]
    batch, queries, heads, levels, points = weights_shape
    return 2 * batch * queries * heads * levels * points * 4 * value_shape[3]


FORMULAS = {
    torch.ops.detr_kit.ms_deform_attn_fused: sampling_flops,
    torch.ops.detr_kit.ms_deform_attn: sampling_flops,
}


def describe(name: str) -> tuple[dict[str, Any], Any]:
    """What can be counted, and a call to be timed."""
    config = read_config(name)
    config.model.network.backbone.weights = None  # their values change neither count nor time
    network = detr_kit.build_network(config).eval()
    height, width = SIZES.get(name, COCO_SIZE)
    images = torch.randn(1, 3, height, width)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    network.requires_grad_(False)  # the counter's module hooks trip over parameters that want gradients
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        network(images, None)
    row = {
        "config": name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "trainable": trainable,
        "gmacs": round(counter.get_total_flops() / 2e9, 1),
        "input": [height, width],
    }

    def call() -> None:
        with torch.inference_mode():
            network(images, None)

    return row, call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=config_names())
    parser.add_argument("--latency", action="store_true", help="time each network too, batch 1, on the CPU")
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing for each config")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    print("| config | parameters | trainable | GMACs | input | ms |")
    print("|---|---|---|---|---|---|")
    for name in arguments.configs:
        row, call = describe(name)
        if arguments.latency:
            timed = interleaved_medians({"cpu": call}, arguments.seconds, at_least=3)
            row["cpu_ms"] = round(timed["cpu"], 1)
        rows.append(row)
        cells = [f"`{name}`", f"{row['parameters']:,}", f"{row['trainable']:,}", row["gmacs"]]
        cells += [" × ".join(map(str, row["input"])), row.get("cpu_ms", "")]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if arguments.out:
        machine = {"processor": platform.machine(), "threads": torch.get_num_threads(),
                   "torch": torch.__version__, "load_average": os.getloadavg()[0]}  # fmt: skip
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
