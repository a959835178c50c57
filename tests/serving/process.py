"""Real server processes on loopback."""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import numpy as np
from PIL import Image

from ..forks import FORKS
from ..places import ROOT
from .slow_server import serve_slowly

CLI = "import sys; from detr_kit.cli import main; sys.exit(main())"


@contextlib.contextmanager
def slow_server(seconds=0.0, **limits):
    """A process that serves a SlowDetector: (client, process, path of its output)."""
    with tempfile.NamedTemporaryFile() as output:
        process = FORKS.Process(target=_with_output, args=(output.name, seconds, limits), daemon=True)
        process.start()
        try:
            wait_for(lambda: address_in(output.name), seconds=60)
            with client_of(address_in(output.name)) as client:
                yield client, process, Path(output.name)
        finally:
            process.kill()
            process.join()


def _with_output(path, *arguments):
    with Path(path).open("w") as sys.stdout:
        sys.stderr = sys.stdout
        serve_slowly(*arguments)


@contextlib.contextmanager
def command_line(*arguments):
    """A process of the command line that serves: its client."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with tempfile.NamedTemporaryFile() as output:
        command = [sys.executable, "-c", CLI, *map(str, arguments), "--port", "0"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: address_in(output.name) or process.poll() is not None, seconds=120)
            assert process.poll() is None, Path(output.name).read_text()
            with client_of(address_in(output.name)) as client:
                yield client
        finally:
            process.kill()
            process.wait()


def client_of(address):
    return httpx2.Client(base_url=address, timeout=30, trust_env=False)


def address_in(path):
    """The address that a server has printed, or None."""
    found = re.search(r"http://\S+", Path(path).read_text())
    return found and found[0]


def picture(width=64, height=48, red=100, kind="PNG"):
    """An encoded image of one colour."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), (red, 80, 60), np.uint8)).save(file, kind)
    return file.getvalue()


def metric(client, name):
    """One figure of /metrics; 0 where it has not been counted yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for(condition, seconds=10):
    """Until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
