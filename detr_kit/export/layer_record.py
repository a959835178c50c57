"""What each layer of a network computed, by name: how drift is followed to its source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.Linear, nn.LayerNorm, nn.GroupNorm)


@contextmanager
def record_layers(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """While the block runs, fill a dict with the output of every convolution, linear layer and norm.

    Keys are module paths in the order of execution; a layer that runs again (shared heads) gets `path#2`, ….
    Where a ReLU works in place, as torchvision's do, the record holds what it made of the convolution.
    """
    record: dict[str, Tensor] = {}

    def hook_of(name: str):
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            record[numbered(name, record)] = output

        return hook

    hooks = [
        module.register_forward_hook(hook_of(name))
        for name, module in network.named_modules()
        if isinstance(module, LAYERS)
    ]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def numbered(name: str, taken: dict[str, Tensor]) -> str:
    """The name, or `name#2`, `name#3`, … where it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    return candidate
