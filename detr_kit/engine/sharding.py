"""FSDP2: each process keeps a share of every weight, its gradient and its optimiser's state.

What leaves the run is whole: checkpoints are those of a run in one process, by torch.distributed.checkpoint,
and any number of processes goes on with them, sharded or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import EMAHook, Hook
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..errors import InputError

BLOCK = 500_000
"""Parameters from which on a block of layers is gathered and freed by itself."""
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def block_of(setting: Any) -> int:
    """The `block` of `shard` that a config's `fsdp` asks for: True, or dict(block=N).

    Raises:
        InputError: something else.
    """
    block = setting.get("block", BLOCK) if isinstance(setting, Mapping) else BLOCK
    known = setting is True or (isinstance(setting, Mapping) and set(setting) <= {"block"})
    if not known or not isinstance(block, int) or block < 1:
        raise InputError(f"fsdp={setting!r}: neither True nor dict(block=PARAMETERS)")
    return block


def shard(model: nn.Module, block: int = BLOCK) -> None:
    """Share a model out among the processes of the default group, in place.

    Each block of the network is gathered when it runs and freed behind it; what is in no block stays gathered
    through a step.

    Args:
        model: on its device; the first process's weights hold.
        block: the fewest parameters of one; blocks are what stands in lists and sequences of modules.
    """
    for tensor in model.state_dict().values():  # each process has drawn weights of its own
        dist.broadcast(tensor, 0)
    for module in dict.fromkeys(_blocks(model, block)):  # some stand in several lists
        fully_shard(module)
    fully_shard(model)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has been here."""
    return isinstance(model, FSDPModule)


def _blocks(module: nn.Module, least: int) -> Iterator[nn.Module]:
    """The largest modules of lists and sequences, none inside another."""
    for child in module.children():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            if sum(parameter.numel() for parameter in child.parameters()) >= least:
                yield child
        else:
            yield from _blocks(child, least)


def whole(value: Tensor) -> Tensor:
    """The sum or part of all processes as one tensor; others pass through."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def whole_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict, dict]:
    """Weights and the optimiser's state as one process has them; all processes have to ask together.

    Returns:
        Those of `model.state_dict()` and `optimizer.state_dict()`, on the CPU; empty in all but the first.
    """
    weights = get_model_state_dict(model, options=_WHOLE)
    state: Any = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    if not state:
        return weights, {}
    names = [name for group in state["param_groups"] for name in group["params"]]
    number = {name: index for index, name in enumerate(names)}
    groups = [
        {**group, "params": [number[name] for name in group["params"]]} for group in state["param_groups"]
    ]
    return weights, {
        "state": {number[name]: of for name, of in state["state"].items()},
        "param_groups": groups,
    }


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Take each process's share of whole weights."""
    set_model_state_dict(model, dict(weights), options=StateDictOptions(full_state_dict=True))


def share_of_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """This process's share of an optimiser's whole state, for `load_state_dict`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def share(value: Any, parameter: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value  # a number of steps
        value = value.to(parameter.device)
        return distribute_tensor(value, parameter.device_mesh, parameter.placements)

    shares = {
        index: {key: share(value, parameters[index]) for key, value in of.items()}
        for index, of in state["state"].items()
    }
    return {**state, "state": shares}


class ShardingHook(Hook):
    """Validation gathers all weights first: in it processes have other numbers of images, and must not meet.

    A checkpoint is gathered by `DetectionRunner.save_checkpoint`, in all processes, and comes in here.

    Attributes:
        gathered: weights and the optimiser's state to save.
    """

    gathered: tuple[dict, dict] = ({}, {})

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """What is whole in place of this process's share."""
        checkpoint["state_dict"], optimizer = self.gathered
        self.gathered = ({}, {})
        if "optimizer" in checkpoint:
            checkpoint["optimizer"].update(optimizer)

    def before_run(self, runner: Any) -> None:
        """A moving average would be a second model, whole in every process."""
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise InputError("fsdp: a moving average of the weights (EMA) does not go with it; leave one out")

    def before_val_epoch(self, runner: Any) -> None:
        """Gather, and keep gathered."""
        _keep_gathered(runner.model, True)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Each process keeps its share again."""
        _keep_gathered(runner.model, False)


def _keep_gathered(model: nn.Module, keep: bool) -> None:
    for module in model.modules():
        if isinstance(module, FSDPModule):
            if keep:
                module.set_reshard_after_forward(False, recurse=False)
                module.unshard()
            else:
                module.set_reshard_after_forward(module is not model, recurse=False)
                module.reshard()
