"""Processes and nodes killed with -9 at random moments: does the run end as an undisturbed one?

    OMP_NUM_THREADS=1 python benchmarks/elastic_restarts.py worker --runs 10 --json elastic_worker.json
    OMP_NUM_THREADS=1 python benchmarks/elastic_restarts.py node --runs 5 --json elastic_node.json

`worker`: one torchrun with two processes; one of them, any, is killed, up to three times in a run. `node`:
two torchruns with a process each, as on two machines; the second dies with all it has started, and is started
again a second later, as a cluster does. Each run trains the tests' tiny network for six epochs over gloo,
saves every four iterations and goes on by `--max-restarts` and `--resume` alone. Run it by hand: a run takes
a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from detr_kit.data import write_shapes
from detr_kit.engine.hooks.checkpoint import last_checkpoint

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "tests" / "configs" / "processes.py"
EPOCHS, LENGTH = 6, 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("worker", "node"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--timeout", type=float, default=400, help="seconds after which a run hangs (400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    rng, runs = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_shapes(data, num_train=24, num_val=8, image_size=64)
        undisturbed = Run(Path(folder) / "undisturbed", data, options)
        print("undisturbed:", undisturbed.to_the_end(None), flush=True)
        for number in range(1, options.runs + 1):
            run = Run(Path(folder) / f"run_{number}", data, options)
            figures = run.to_the_end(rng)
            figures["as_undisturbed"] = run.weights_equal(undisturbed)
            runs.append(figures)
            print(f"run {number}: {figures}", flush=True)
    report = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "kills": sum(len(run["killed_at"]) for run in runs),
        "ended_as_undisturbed": f"{sum(run['as_undisturbed'] for run in runs)} of {len(runs)}",
        "runs": runs,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    print(f"{report['kills']} kills, {report['ended_as_undisturbed']} runs ended as an undisturbed one")
    return 0 if all(run["as_undisturbed"] for run in runs) else 1


class Run:
    """One training run of two processes.

    Args:
        work_dir: of it; data: the shapes set; options: kind and timeout.
    """

    def __init__(self, work_dir: Path, data: Path, options: argparse.Namespace) -> None:
        self.work_dir, self.data, self.kind, self.timeout = work_dir, data, options.kind, options.timeout
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def to_the_end(self, rng: random.Random | None) -> dict[str, Any]:
        """Train, and kill where a generator is given."""
        started, killed_at = time.time(), []
        agents = [self.start(number) for number in range(2 if self.kind == "node" else 1)]
        kills = 0 if rng is None else rng.randint(1, 3 if self.kind == "worker" else 2)
        try:
            for _ in range(kills):
                self.wait_for_progress(agents)
                time.sleep(rng.uniform(0, 4))
                if agents[0].poll() is not None or not self.kill(agents, rng):
                    break
                killed_at.append(Path(last_checkpoint(self.work_dir) or "start").stem)
            for agent in agents:
                agent.wait(max(self.timeout - (time.time() - started), 1))
            codes = [agent.returncode for agent in agents]
        except subprocess.TimeoutExpired:
            codes = ["hangs"]
        finally:
            for agent in agents:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(agent.pid, signal.SIGKILL)
        return {"seconds": round(time.time() - started, 1), "killed_at": killed_at, "exit_codes": codes}

    def start(self, number: int) -> subprocess.Popen:
        if self.kind == "node":
            agent = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "detr"]
            agent += ["--rdzv-endpoint", f"127.0.0.1:{self.port}", "--local-addr", "127.0.0.1"]
            agent += ["--rdzv-conf", f"is_host={'true' if number == 0 else 'false'}"]
        else:
            agent = ["--standalone", "--nproc-per-node", "2"]
        command = [sys.executable, "-m", "torch.distributed.run", *agent, "--max-restarts", "9"]
        command += [str(ROOT / "tools" / "train.py"), str(CONFIG), "--work-dir", str(self.work_dir)]
        command += ["--resume", "--launcher", "pytorch", "--cfg-options", f"data_root={self.data}"]
        command += [f"train_cfg.max_epochs={EPOCHS}", "default_hooks.checkpoint.by_epoch=False"]
        command += ["default_hooks.checkpoint.interval=4", "train_cfg.val_interval=3"]
        environment = {
            "OMP_NUM_THREADS": "1",
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(ROOT),
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
        self.work_dir.mkdir(exist_ok=True)
        with (self.work_dir / f"agent_{number}.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.data, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait_for_progress(self, agents: list[subprocess.Popen]) -> None:
        """Until the run has begun, or begun again: it makes a folder of its own each time."""
        seen = len(list(self.work_dir.glob("*/vis_data")))
        while agents[0].poll() is None and len(list(self.work_dir.glob("*/vis_data"))) == seen:
            time.sleep(0.05)

    def kill(self, agents: list[subprocess.Popen], rng: random.Random) -> bool:
        if self.kind == "node":
            if agents[1].poll() is not None:
                return False
            workers = children(agents[1].pid)
            os.killpg(agents[1].pid, signal.SIGKILL)
            for pid in workers:  # torchrun gives them groups of their own
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            agents[1].wait()
            time.sleep(1)
            agents[1] = self.start(1)
            return True
        workers = children(agents[0].pid)
        if not workers:
            return False
        os.kill(rng.choice(workers), signal.SIGKILL)
        return True

    def weights_equal(self, other: Run) -> bool:
        """Bit for bit, and the optimiser's state too."""
        name = f"iter_{EPOCHS * LENGTH}.pth"
        if not (self.work_dir / name).is_file():
            return False
        ours, theirs = (torch.load(run.work_dir / name, weights_only=True) for run in (self, other))
        pairs = [(ours["state_dict"], theirs["state_dict"])]
        pairs += [(a, theirs["optimizer"]["state"][k]) for k, a in ours["optimizer"]["state"].items()]
        return all(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs)


def children(pid: int) -> list[int]:
    """The training processes that a launcher has started."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            with contextlib.suppress(OSError):
                if b"train.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    return found


if __name__ == "__main__":
    sys.exit(main())
