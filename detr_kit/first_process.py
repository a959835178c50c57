"""Who speaks for a run of several processes before there is a process group."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether the launcher, torchrun or Slurm, calls this process the first; without one it is alone."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
