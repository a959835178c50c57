"""What goes wrong while a network trains, on purpose: a hook and transforms for the fault tests' configs."""

import json
import multiprocessing.util
import os
import random
import resource
import signal
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.fileio.backends.local_backend import LocalBackend
from mmengine.hooks import Hook
from torch.utils.data import get_worker_info
from torchvision.transforms import v2

from detr_kit.errors import InputError
from detr_kit.models import DeformableDETR
from detr_kit.registry import HOOKS, MODELS, TRANSFORMS


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class FaultHook(Hook):
    """One fault at one iteration, once in the life of a work directory.

    Args:
        kind: "kill" the process; "kill_in_save", with half a checkpoint written; "kill_in_val"; "disk_full",
            files may not grow any more; "nan_weight"; "nan_gradient", for `steps` steps; "sigterm"; "hang",
            for a while; "raise" an error.
        iteration: of training, from 1.
        steps: see kind; rank: of the process it happens to, None for all.
    """

    priority = "VERY_HIGH"

    def __init__(self, kind, iteration, steps=1, rank=None):
        self.kind, self.iteration, self.steps, self.rank = kind, iteration, steps, rank

    def _is_now(self, runner):
        flag = Path(runner.work_dir) / f"{self.kind}_{self.iteration}"
        if flag.exists() or runner.iter + 1 < self.iteration or self.rank not in (None, runner.rank):
            return False
        flag.touch()
        return True

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.kind == "kill" and self._is_now(runner):
            _die()
        if self.kind == "sigterm" and self._is_now(runner):
            os.kill(os.getpid(), signal.SIGTERM)
        if self.kind == "hang" and self._is_now(runner):
            time.sleep(14)
        if self.kind == "raise" and self._is_now(runner):
            raise InputError("the disk of this machine is full")
        if self.kind == "disk_full" and self._is_now(runner):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        if self.kind == "nan_weight" and self._is_now(runner):
            runner.model.network.class_heads[0].weight.data[0, 0] = float("nan")
        if self.kind == "nan_gradient":
            parameter = runner.model.network.box_heads[0].output_layer.bias
            if runner.iter + 1 == self.iteration:
                nan = torch.full_like(parameter, float("nan"))
                self.handle = parameter.register_hook(lambda grad: nan)
            elif runner.iter + 1 == self.iteration + self.steps:
                self.handle.remove()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.kind == "kill_in_val" and self._is_now(runner):
            _die()

    def before_save_checkpoint(self, runner, checkpoint):
        if self.kind == "kill_in_save" and self._is_now(runner):
            LocalBackend.put = _write_half_and_die


@HOOKS.register_module()
class SlowSaveHook(Hook):
    """Every checkpoint takes its time, and each process writes down how things stood when it left.

    Args:
        seconds: a checkpoint takes.
    """

    def __init__(self, seconds):
        self.seconds = seconds

    def before_train(self, runner):
        work_dir, rank = Path(runner.work_dir), runner.rank

        def note():
            threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
            state = {
                "files": sorted(path.name for path in work_dir.glob("*.pth")),
                "has_group": torch.distributed.is_initialized(),
                "threads": [name for name in threads if "gloo" in name],
            }
            (work_dir / f"left_{rank}.json").write_text(json.dumps(state))

        multiprocessing.util.Finalize(None, note, exitpriority=0)  # at the end of forked processes too

    def before_save_checkpoint(self, runner, checkpoint):
        time.sleep(self.seconds)


def _write_half_and_die(self, content, path):
    Path(path).write_bytes(content[: len(content) // 2])
    _die()


@TRANSFORMS.register_module()
class NoiseOfAllGenerators(v2.Transform):
    """Adds what python's, numpy's and torch's global generators draw."""

    def transform(self, inpt, params):
        if not isinstance(inpt, torch.Tensor) or inpt.dtype is not torch.uint8:
            return inpt
        shift = random.randrange(8) + np.random.randint(8) + int(torch.randint(8, ()))  # noqa: NPY002
        return (inpt.int() + shift).clamp(max=255).to(torch.uint8)


@TRANSFORMS.register_module()
class KillWorker(v2.Transform):
    """Kills the data-loading process it runs in, as often as told, at the third image it sees.

    Args:
        folder: where the deaths are counted; times: how many.
    """

    def __init__(self, folder, times):
        super().__init__()
        self.folder, self.times, self.seen = Path(folder), times, 0

    def forward(self, *inputs):
        self.seen += 1
        deaths = len(list(self.folder.glob("death_*")))
        if get_worker_info() is not None and self.seen == 3 and deaths < self.times:
            (self.folder / f"death_{deaths}").touch()
            _die()
        return inputs[0]


@MODELS.register_module()
class WithUnusedHead(DeformableDETR):
    """A network with a layer that its forward pass leaves out."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.unused = torch.nn.Linear(3, 3)
