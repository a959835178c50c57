"""How large a batch of a config's model fits into memory, found by a step with one picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS, build, without_pretrained
from ..structures import ImageBatch, Target

_STATES = 4  # of a parameter in training: itself, its gradient, AdamW's two averages
_SHARE = 0.8  # of what is free; allocators lose some, and kernels want work space
_LONG_SIDE = 1333 / 800  # where a transform says no limit


def largest_picture(config: Config) -> tuple[int, int]:
    """(height, width) of the largest training picture that a config's transforms and batches make.

    Raises:
        InputError: they leave pictures as they are.
    """
    loader = config.train_dataloader
    sizes = list(_sizes(loader.dataset.get("transforms") or []))
    sizes += [(size, size) for size in (loader.get("collate_fn") or {}).get("sizes", ())]
    if not sizes:
        raise InputError(
            "--batch-size auto: the training pictures are of any size; give --image-size N, which brings "
            "them to one"
        )
    return max(sizes, key=lambda size: size[0] * size[1])


def _sizes(transforms: Any) -> Any:
    for transform in transforms:
        if isinstance(transform, list | tuple):
            yield from _sizes(transform)
        elif transform["type"] == "Resize":
            size = transform["size"]
            yield (size, size) if isinstance(size, int) else tuple(size)
        elif transform["type"] == "ResizeShortestSide":
            sizes = transform["sizes"]
            short = sizes if isinstance(sizes, int) else max(sizes)
            yield short, transform.get("max_size") or round(short * _LONG_SIDE)
        else:
            yield from _sizes(transform.get("pipelines") or transform.get("transforms") or [])


def fitting_batch(config: Config, wanted: int, objects: int, limit: float | None = None) -> tuple[int, str]:
    """The largest divisor of a batch that a training step in float32 has the memory for, at least 1.

    Args:
        config: prepared, of the run.
        wanted: pictures of a step: accumulated batches of the result come to as many.
        objects: of a picture.
        limit: bytes that may be taken; by default what is free on the GPU, or in the machine.

    Returns:
        The batch, and a sentence that says why.

    Raises:
        InputError: not even one picture fits, or as `largest_picture`.
    """
    height, width = largest_picture(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _model(config).to(device)
    an_image = _step_bytes(model, (height, width), objects)
    fixed = _STATES * sum(p.numel() * p.element_size() for p in model.parameters())
    free = _SHARE * free_bytes(device) if limit is None else limit
    fits = int((free - fixed) // an_image)
    if fits < 1:
        raise InputError(
            f"--batch-size auto: a picture of {height} × {width} takes {(fixed + an_image) / 1e9:.1f} GB in "
            f"training and there are {free / 1e9:.1f}; give a smaller --image-size, --checkpointing or --amp "
            "with --batch-size 1"
        )
    batch = max(n for n in range(1, wanted + 1) if wanted % n == 0 and n <= fits)
    return batch, (
        f"--batch-size auto: {an_image / 1e9:.2f} GB a picture of {height} × {width} and "
        f"{fixed / 1e9:.2f} GB for the weights, of {free / 1e9:.1f} GB: {fits} would fit, "
        f"{batch} of {wanted} a batch"
    )


def free_bytes(device: torch.device) -> int:
    """Memory that nobody uses: of the GPU, or of the machine and of this process's control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = [int(line.split()[1]) * 1024]
    group = Path("/sys/fs/cgroup")
    most, used = (next(iter(_lines(group / name)), "max") for name in ("memory.max", "memory.current"))
    if most != "max" and used != "max":
        free.append(int(most) - int(used))
    return min(free)


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _model(config: Config) -> Any:
    init_default_scope("detr_kit")
    settings = config.model.to_dict()
    without_pretrained(settings["network"])  # which weights they are changes nothing
    return build(settings, MODELS).train()


def _step_bytes(model: Any, size: tuple[int, int], objects: int) -> int:
    """What a picture's forward and backward take beyond the weights: measured on a GPU, counted on a CPU."""
    device = next(model.parameters()).device
    batch = _batch(size, objects, model.network.num_classes).to(device)
    if device.type != "cuda":
        return _saved_bytes(model, batch)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    _loss(model, batch).backward()
    peak = torch.cuda.max_memory_allocated(device)
    model.zero_grad(set_to_none=True)
    return peak - before


def _saved_bytes(model: nn.Module, batch: ImageBatch) -> int:
    """The tensors that the forward pass keeps for the backward one, each storage once."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, tuple[Tensor, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (tensor, storage.nbytes())  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _loss(model, batch)
    return sum(size for _, size in kept.values())


def _loss(model: nn.Module, batch: ImageBatch) -> Tensor:
    losses: Mapping[str, Tensor] = model(batch, mode="loss")
    return torch.stack([value for name, value in losses.items() if name.startswith("loss")]).sum()


def _batch(size: tuple[int, int], objects: int, num_classes: int) -> ImageBatch:
    boxes = torch.full((objects, 4), 0.3)
    boxes[:, 0] = torch.linspace(0.2, 0.8, objects)
    labels = torch.arange(objects) % num_classes
    mask = torch.zeros(1, *size, dtype=torch.bool)
    return ImageBatch(torch.zeros(1, 3, *size), mask, [Target(labels, boxes, size, size)])
