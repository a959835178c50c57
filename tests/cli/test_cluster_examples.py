"""The examples for Slurm and Kubernetes run as far as one machine can: two nodes on the loopback."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ..places import ROOT

CONFIG = ROOT / "tests" / "configs" / "processes.py"
EXAMPLES = ROOT / "docs" / "cluster"


@pytest.fixture
def environment(tmp_path):
    """Commands of a cluster, of this machine alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = {
        "torchrun": f'exec {sys.executable} -m torch.distributed.run --local-addr 127.0.0.1 "$@"',
        "scontrol": 'test "$*" = "show hostnames node[1-2]"; echo 127.0.0.1; echo 127.0.0.2',
        "srun": 'set -e; "$@" & first=$!; "$@" & wait $!; wait $first',  # a task a node
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in commands.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PORT": str(port),
        "PROCESSES": "1",
    }


def _finish(*started):
    for process in started:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output[-3000:]


def _start(command, **environment):
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _iterations(work_dir: Path) -> int:
    return torch.load(work_dir / "epoch_1.pth", weights_only=True)["meta"]["iter"]


@pytest.mark.slow
def test_slurm(shapes, tmp_path, environment):
    slurm = dict(SLURM_JOB_NODELIST="node[1-2]", SLURM_NNODES="2", SLURM_JOB_ID="7")
    options = [str(CONFIG), "--work-dir", str(tmp_path / "run"), "--cfg-options", f"data_root={shapes}"]
    _finish(_start(["bash", str(EXAMPLES / "train.slurm"), *options], **environment, **slurm))
    assert _iterations(tmp_path / "run") == 6  # 24 images, two a step in each of two processes


@pytest.mark.slow
def test_kubernetes(shapes, tmp_path, environment):
    service, job = yaml.safe_load_all((EXAMPLES / "train_kubernetes.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]
    container = pod["containers"][0]
    of_pod = {variable["name"]: variable["value"] for variable in container["env"]}
    of_pod |= dict(
        FIRST="127.0.0.1",
        CONFIG=str(CONFIG),
        WORK_DIR=str(tmp_path / "run"),
        OPTIONS=f"--cfg-options data_root={shapes}",
    )
    command = [*container["command"], *container["args"]]
    _finish(*(_start(command, **environment, **of_pod, JOB_COMPLETION_INDEX=str(index)) for index in (0, 1)))
    assert _iterations(tmp_path / "run") == 6
