"""The examples for Slurm and Kubernetes run as far as one machine can: two nodes on the loopback.

The shell runs them as they are; what they call `torchrun` with is noted, and then done by torch's own agent.
"""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ..engine.processes import Torchrun
from ..places import CONFIGS, ROOT

CONFIG = CONFIGS / "processes.py"
EXAMPLES = ROOT / "docs" / "cluster"
NOTE = "import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open(f'{os.getpid()}.json', 'w'))"


@pytest.fixture
def cluster(tmp_path):
    """Run a node's command, or a job's, on a cluster that is this machine alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = {
        "torchrun": f'exec {sys.executable} -c "{NOTE}" "$@"',
        "scontrol": 'test "$*" = "show hostnames node[1-2]"; echo 127.0.0.1; echo 127.0.0.2',
        "srun": 'set -e; "$@"; "$@"',  # a task a node
    }
    folder, notes = tmp_path / "bin", tmp_path / "notes"
    folder.mkdir()
    notes.mkdir()
    for name, text in commands.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    ours = {"PATH": f"{folder}:{os.environ['PATH']}", "PORT": str(port), "PROCESSES": "1"}

    def run(command, **environment):
        subprocess.run(command, env={**os.environ, **ours, **environment}, cwd=notes, check=True)

    run.notes = notes
    return run


def _iterations(notes: Path, work_dir: Path) -> int:
    """Of the two nodes that were noted, run together."""
    nodes = []
    for note in notes.iterdir():
        arguments, environment = json.loads(note.read_text())
        module = arguments.index("-m")
        assert arguments[module + 1] == "detr_kit"
        agent = [*arguments[:module], "--local-addr", "127.0.0.1"]
        apart = {name: of for name, of in environment.items() if name.startswith("TORCH_")}
        nodes.append(Torchrun(*arguments[module + 2 :], agent=agent, **apart))
    assert len(nodes) == 2
    for node in nodes:
        code, output = node.finish()
        assert code == 0, output[-3000:]
    return torch.load(work_dir / "epoch_1.pth", weights_only=True)["meta"]["iter"]


def test_slurm(shapes, tmp_path, cluster):
    options = [str(CONFIG), "--work-dir", str(tmp_path / "run"), "--cfg-options", f"data_root={shapes}"]
    slurm = dict(SLURM_JOB_NODELIST="node[1-2]", SLURM_NNODES="2", SLURM_JOB_ID="7")
    cluster(["bash", str(EXAMPLES / "train.slurm"), *options], **slurm)
    assert _iterations(cluster.notes, tmp_path / "run") == 6  # 24 images, two a step in each process


def test_kubernetes(shapes, tmp_path, cluster):
    service, job = yaml.safe_load_all((EXAMPLES / "train_kubernetes.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]
    (container,) = pod["containers"]
    of_pod = {variable["name"]: variable["value"] for variable in container["env"]}
    of_pod |= dict(FIRST="127.0.0.1", CONFIG=str(CONFIG), WORK_DIR=str(tmp_path / "run"))
    of_pod |= dict(OPTIONS=f"--cfg-options data_root={shapes}")
    for index in ("0", "1"):
        cluster([*container["command"], *container["args"]], **of_pod, JOB_COMPLETION_INDEX=index)
    assert _iterations(cluster.notes, tmp_path / "run") == 6
