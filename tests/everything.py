"""All that detr-kit imports when it is used, for processes that are forked."""

import pkgutil
from importlib import import_module

import matplotlib.pyplot
import torch.distributed.run
import torch.utils.tensorboard

import detr_kit

from .engine import faults
from .serving import slow_server

for module in pkgutil.walk_packages(detr_kit.__path__, "detr_kit."):
    if not module.name.endswith(("__main__", "_C")):
        import_module(module.name)

__all__ = ["faults", "matplotlib", "slow_server", "torch"]
