"""A network as it runs where nothing is trained and nothing padded: the same numbers, sooner."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from ..models.layers.fuse import fuse
from ..models.layers.position_encoding import SinePositionEncoding
from .onednn import join_activations

_KEPT = 16  # encodings of one size: four levels of four image sizes


def ready_network(network: nn.Module, dtype: torch.dtype = torch.float32, *, keeps: bool = True) -> nn.Module:
    """A copy for inference on batches without padding.

    Batch norms are folded (`fuse`), before anything is rounded to half precision; convolution weights lie in
    memory as maps do; encodings of a map's size are computed once; on a CPU activations are part of the
    convolutions and linear layers before them (`join_activations`).

    Args:
        network: in evaluation mode, float32. Its other tensors are shared where the dtype is the same.
        dtype: of the copy.
        keeps: keep encodings and join activations; a compiler does without.

    Returns:
        images (B, 3, H, W), None -> DetectorOutput, up to rounding that of the network. It may not be given a
        padding mask.
    """
    ready = fuse(network, share=True)
    for module in ready.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach().contiguous(memory_format=torch.channels_last)
            module.weight = nn.Parameter(weight, requires_grad=False)
    if keeps:
        _keep_encodings(ready)
    if dtype != torch.float32:
        ready = fuse(ready).to(dtype)  # a copy with tensors of its own
    if keeps and dtype in (torch.float32, torch.bfloat16) and _device(ready).type == "cpu":
        join_activations(ready)
    ready.register_forward_pre_hook(_channels_last)
    return ready


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _channels_last(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each pixel's channels side by side: convolutions are faster, and maps become rows without a copy."""
    images, *others = inputs
    if images.device.type in ("cpu", "cuda"):  # elsewhere it was not measured
        images = images.contiguous(memory_format=torch.channels_last)
    return images, *others


class _KeptEncoding(nn.Module):
    """An encoding of maps without padding, which depends on their size alone."""

    def __init__(self, encoding: nn.Module) -> None:
        super().__init__()
        self.encoding = encoding
        self._kept: OrderedDict[tuple[torch.Size, torch.device], Tensor] = OrderedDict()

    def forward(self, mask: Tensor) -> Tensor:
        key = (mask.shape, mask.device)
        if key not in self._kept:
            self._kept[key] = self.encoding(mask)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _keep_encodings(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SinePositionEncoding):
                setattr(module, name, _KeptEncoding(child))
