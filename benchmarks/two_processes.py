"""How often a training run of two processes fails on a busy machine; each is to end with 0 and whole files.

    OMP_NUM_THREADS=1 python benchmarks/two_processes.py --runs 100 --load 3 --json two_processes.json

Each run trains the tests' tiny network for two epochs over gloo, with busy loops beside it. What a run that
failed wrote is printed. Run it by hand: a run takes some ten seconds on two cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from detr_kit.data import write_shapes

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "tests" / "configs" / "processes.py"
FILES = {"epoch_1.pth", "epoch_2.pth"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--load", type=int, default=3, metavar="K", help="busy loops beside them (3)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a run hangs (600)")
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    failures, started = [], time.time()
    with tempfile.TemporaryDirectory() as folder, busy_loops(options.load):
        data = Path(folder) / "data"
        write_shapes(data, num_train=24, num_val=8, image_size=64)
        for number in range(1, options.runs + 1):
            failure = run_once(data, Path(folder) / f"run_{number}", options.timeout)
            if failure:
                failures.append({"run": number, "output": failure})
                print(f"run {number} FAILED:\n{failure}", flush=True)
            print(f"{number} of {options.runs} runs, {len(failures)} failure(s)", flush=True)
    report = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{platform.processor()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "runs": options.runs,
        "busy_loops": options.load,
        "minutes": round((time.time() - started) / 60, 1),
        "failures": failures,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    print(f"{len(failures)} failure(s) in {options.runs} runs of two processes")
    return 1 if failures else 0


def run_once(data: Path, work_dir: Path, timeout: float) -> str:
    """Train; what went wrong, "" where nothing did."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "tools" / "train.py"), str(CONFIG), "--work-dir", str(work_dir)]
    command += ["--launcher", "pytorch", "--cfg-options", f"data_root={data}", "train_cfg.max_epochs=2"]
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, cwd=data, env=environment, text=True, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"still running after {timeout} s"
    if done.returncode:
        return f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    written = {path.name for path in work_dir.glob("*.pth")}
    if not written >= FILES or list(work_dir.glob(".*.partial")):
        return f"exit code 0, but the files are {sorted(written)}"
    return ""


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing as fast as they can."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main())
