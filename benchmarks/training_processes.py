"""Images a second of one training process and of two (DDP, gloo), a core each, as many images a step in each.

    PYTHONPATH=. python benchmarks/training_processes.py --rounds 3 --json training_processes.json

The shipped config of the shapes demo at its full size, its data worker in the same core; one process and two
take turns. A rate is of the second half of the steps, by the run's own log.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import measured_on
from detr_kit.data import write_shapes
from detr_kit.engine.hooks.curves import read_scalars

ROOT = Path(__file__).resolve().parents[1]
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="of each run (20)")
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for processes in rates:
            images = options.steps * BATCH * processes
            write_shapes(Path(folder) / f"data_{processes}", num_train=images, num_val=2, image_size=128)
        for turn in range(options.rounds):
            for processes, of in rates.items():
                data, run = Path(folder) / f"data_{processes}", Path(folder) / f"run_{turn}_{processes}"
                of.append(round(images_a_second(processes, data, run, options.steps), 2))
                print(f"{processes} process(es): {of[-1]} images/s", flush=True)
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    options.threads, options.cpu_time = 1, False
    report = {
        **measured_on(options),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "images_a_step_and_process": BATCH,
        "images_a_second": rates,
        "two_against_one": round(ratio, 2),
    }
    print(json.dumps(report, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


def images_a_second(processes: int, data: Path, run: Path, steps: int) -> float:
    """Of all processes together, on as many cores."""
    agent = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        "taskset",
        "-c",
        f"0-{processes - 1}",
        sys.executable,
        *agent,
        str(ROOT / "tools" / "train.py"),
    ]
    command += [str(ROOT / "configs" / "deformable_detr_r18_shapes.py"), "--work-dir", str(run)]
    command += ["--launcher", "pytorch", "--cfg-options", f"data_root={data}", "train_cfg.max_epochs=1"]
    command += [f"train_dataloader.batch_size={BATCH}", "default_hooks.logger.interval=1"]
    command += ["train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2", "data_check=False"]
    command += ["log_processor.window_size=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    lines = [line for line in read_scalars(run) if "loss" in line]
    assert len(lines) == steps, len(lines)
    return BATCH * processes / statistics.median(line["time"] for line in lines[steps // 2 :])


if __name__ == "__main__":
    main()
