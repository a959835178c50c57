"""Peak memory of a training step against transformers', each in a process of its own.

    python benchmarks/training_memory.py --json benchmarks/results/training_memory_cpu.json

Deformable DETR R50, two images of 480 × 640 with seven objects each; the same weights, auxiliary losses on
both sides, no optimizer.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from pathlib import Path

import torch
from children import in_child, peak_megabytes
from end_to_end import training
from timing import reuse_heap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    reuse_heap()
    found = {kind: in_child(_step, kind, options.threads) for kind in ("transformers", "detr-kit")}
    for kind, megabytes in found.items():
        print(f"{kind:14} {megabytes:8.0f} MB  {megabytes / found['transformers']:.2f}")
    if options.json:
        report = {"date": datetime.date.today().isoformat(), "torch": torch.__version__, "megabytes": found}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


def _step(kind: str, threads: int) -> float:
    """MB above what is held before the step, both networks among it."""
    torch.set_num_threads(threads)
    _, steps = training("deformable_detr_r50", check=False)
    return peak_megabytes(steps[kind])


if __name__ == "__main__":
    main()
