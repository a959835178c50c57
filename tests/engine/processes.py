"""Commands of detr-kit as processes that can be killed; forked from one that has torch imported."""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["detr_kit.cli", "detr_kit.engine", "tests.engine.faults"])


def _run(arguments, output, environment):
    os.setsid()  # a group of its own, as a job on a cluster is
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)
    import torch

    from detr_kit.cli import main

    torch.set_num_threads(1)  # one order of sums, so that runs can be compared bit for bit
    sys.exit(main(arguments))


class Command:
    """`detr-kit ARGUMENTS`, started.

    Attributes:
        pid: its id, and its group's.
    """

    def __init__(self, *arguments, **environment):
        self._output = Path(tempfile.mkstemp(suffix=".log")[1])
        self._process = _FORKS.Process(
            target=_run, args=([*map(str, arguments)], str(self._output), environment)
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def is_running(self):
        return self._process.is_alive()

    def kill(self):
        self._process.kill()

    def terminate(self):
        self._process.terminate()

    def finish(self, timeout=120):
        """Wait -> (exit code, negative for a signal; what it wrote)."""
        self._process.join(timeout)
        if self._process.is_alive():
            os.killpg(self.pid, 9)
            self._process.join()
            raise AssertionError(f"still running after {timeout} s:\n{self._output.read_text()[-3000:]}")
        text = self._output.read_text()
        self._output.unlink()
        return self._process.exitcode, text
