"""Commands of detr-kit as processes that can be killed."""

import os
import sys
import tempfile
from pathlib import Path

from ..forks import FORKS


def _command(arguments):
    import torch

    from detr_kit.cli import main

    torch.set_num_threads(1)  # one order of sums, so that runs can be compared bit for bit
    sys.exit(main(arguments))


def _torchrun(agent, arguments):
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import MultiprocessContext

    def let_go_and_close(context, **how):
        """A forked process that is done waits for this; an agent that ends would give it thirty seconds."""
        context._worker_finished_event.set()
        close(context, **how)

    close, MultiprocessContext._close = MultiprocessContext._close, let_go_and_close

    def fork_a_command(args):
        config, _, _ = of_subprocesses(args)
        config.start_method = "fork"
        return config, _command, [arguments]

    of_subprocesses, run.config_from_args = run.config_from_args, fork_a_command
    run.main([*agent, "tools/train.py"])


def _run(target, arguments, output, environment, cwd):
    os.setsid()  # a group of its own, as a job on a cluster is
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)
    os.chdir(cwd)
    target(*arguments)


class Command:
    """`detr-kit ARGUMENTS`, started.

    Attributes:
        pid: its id, and its group's.
    """

    def __init__(self, *arguments, **environment):
        self._start(_command, [[*map(str, arguments)]], environment)

    def _start(self, target, arguments, environment, cwd="."):
        self._output = Path(tempfile.mkstemp(suffix=".log")[1])
        self._process = FORKS.Process(
            target=_run, args=(target, arguments, str(self._output), environment, str(cwd))
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

    def finish(self, timeout=240):
        """Wait -> (exit code, negative for a signal; what it wrote)."""
        self._process.join(timeout)
        if self._process.is_alive():
            os.killpg(self.pid, 9)
            self._process.join()
            raise AssertionError(f"still running after {timeout} s:\n{self._output.read_text()[-3000:]}")
        text = self._output.read_text()
        self._output.unlink()
        return self._process.exitcode, text


class Torchrun(Command):
    """`torchrun AGENT detr-kit ARGUMENTS`, started: torch's own agent, its processes forked from it.

    Two processes that import torch each take as long as most of what is tested with them.
    """

    def __init__(self, *arguments, agent=("--standalone", "--nproc-per-node", "2"), cwd=".", **environment):
        environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
        self._start(_torchrun, [agent, [*map(str, arguments)]], environment, cwd)
