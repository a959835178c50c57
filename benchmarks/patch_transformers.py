"""transformers' detectors with and without `detr_kit.ops.patch`: the same weights, in turn, outputs compared.

python benchmarks/patch_transformers.py --out benchmarks/results/patch_transformers.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

from timing import interleaved_medians, reuse_heap

if __name__ == "__main__":
    reuse_heap()

import torch
import transformers
from torch import nn

from detr_kit.ops import backend_report, patch


def deformable_detr() -> nn.Module:
    backbone = transformers.ResNetConfig(out_features=["stage2", "stage3", "stage4"])  # ResNet-50
    config = transformers.DeformableDetrConfig(backbone_config=backbone, num_labels=91)
    return transformers.DeformableDetrForObjectDetection(config)


def rt_detr() -> nn.Module:
    return transformers.RTDetrForObjectDetection(transformers.RTDetrConfig())  # ResNet-50-vd


CASES = {  # model, (height, width), with backward
    "Deformable DETR R50, 800 × 1066": (deformable_detr, (800, 1066), False),
    "Deformable DETR R50, 480 × 640, with backward": (deformable_detr, (480, 640), True),
    "RT-DETR R50, 640 × 640": (rt_detr, (640, 640), False),
}


def measure(build, size: tuple[int, int], backward: bool, runs: int, clock) -> dict[str, float]:
    torch.manual_seed(0)
    model = build().eval()
    images = torch.randn(1, 3, *size)

    def run() -> torch.Tensor:
        with torch.set_grad_enabled(backward):
            output = model(images)
            if backward:
                model.zero_grad()
                (output.logits.square().mean() + output.pred_boxes.mean()).backward()
        return output.pred_boxes.detach()

    def run_patched() -> torch.Tensor:
        with patch(model):  # a millisecond
            return run()

    torch.testing.assert_close(run_patched(), run(), rtol=1e-4, atol=1e-5)
    return interleaved_medians(
        {"transformers": run, "patched": run_patched}, seconds=0, at_least=runs, clock=clock
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="of each, in turn")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for one thread")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    rows = {}
    print("| model | transformers ms | patched ms | ratio |\n|---|---|---|---|")
    for name, case in CASES.items():
        rows[name] = times = measure(*case, arguments.runs, clock)
        ratio = times["transformers"] / times["patched"]
        print(f"| {name} | {times['transformers']:.0f} | {times['patched']:.0f} | {ratio:.2f}× |", flush=True)
    if arguments.out:
        machine = {"processor": platform.machine(), "cores": os.cpu_count(), "threads": arguments.threads,
                   "torch": torch.__version__, "transformers": transformers.__version__,
                   "backend": backend_report()[0]["reason"], "clock": clock.__name__,
                   "load_average": os.getloadavg()[0]}  # fmt: skip
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"machine": machine, "median_ms": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
