"""Processes that tests start, end and kill: forked from one that has imported what takes seconds."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# There is one such server in a process of tests: what was named last would hold for all.
FORKS.set_forkserver_preload(
    [
        "detr_kit.cli",
        "detr_kit.engine",
        "detr_kit.fine_tune",
        "detr_kit.losses",
        "matplotlib.pyplot",
        "torch.distributed.run",
        "torch.utils.tensorboard",
        "tests.engine.faults",
        "tests.serving.slow_server",
    ]
)
