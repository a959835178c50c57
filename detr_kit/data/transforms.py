"""Augmentation on torchvision's transforms.v2: what DETR's recipe needs beyond the library's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ..registry import TRANSFORMS
from .epoch import current_epoch

# The library's transforms that make sense for boxes, under their own names.
for _name in (
    "ColorJitter",
    "GaussianBlur",
    "GaussianNoise",
    "RandomApply",
    "RandomCrop",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomIoUCrop",
    "RandomPhotometricDistort",
    "RandomVerticalFlip",
    "RandomZoomOut",
    "Resize",
    "SanitizeBoundingBoxes",
    "ScaleJitter",
):
    TRANSFORMS.register_module(module=getattr(v2, _name))


def shortest_side_size(height: int, width: int, size: int, max_size: int | None) -> tuple[int, int]:
    """(height, width) after resizing the short side to `size`, the long side staying within `max_size`.

    The rounding is that of the original code, on which published AP depends.
    """
    short, long = min(height, width), max(height, width)
    if max_size is not None and long / short * size > max_size:
        size = round(max_size * short / long)
    size = max(size, 1)
    if short == size:
        return height, width
    if width < height:
        return max(int(size * height / width), 1), size
    return size, max(int(size * width / height), 1)


@TRANSFORMS.register_module()
class ResizeShortestSide(v2.Transform):
    """Resize so that the short side is one of `sizes`, drawn at random, and the long side ≤ `max_size`.

    Args:
        sizes: candidates for the short side, pixels.
        max_size: limit of the long side, pixels; None for none.
    """

    def __init__(self, sizes: Sequence[int] | int, max_size: int | None = None) -> None:
        super().__init__()
        self.sizes, self.max_size = [sizes] if isinstance(sizes, int) else list(sizes), max_size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        size = self.sizes[int(torch.randint(len(self.sizes), ()))]
        return {"size": list(shortest_side_size(height, width, size, self.max_size))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.resize, inpt, size=params["size"], antialias=True)


@TRANSFORMS.register_module()
class RandomSizeCrop(v2.Transform):
    """Crop a window of random sides at a random place.

    Args:
        min_size, max_size: between which each side is drawn, pixels; it stays within the image.
    """

    def __init__(self, min_size: int, max_size: int) -> None:
        super().__init__()
        self.min_size, self.max_size = min_size, max_size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        sides = []
        for length in v2.query_size(flat_inputs):
            low = min(self.min_size, length)
            sides.append(int(torch.randint(low, min(self.max_size, length) + 1, ())))
        height, width = v2.query_size(flat_inputs)
        top = int(torch.randint(height - sides[0] + 1, ()))
        left = int(torch.randint(width - sides[1] + 1, ()))
        return {"top": top, "left": left, "height": sides[0], "width": sides[1]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.crop, inpt, **params)


@TRANSFORMS.register_module()
class RandomChoice(v2.Transform):
    """One of several pipelines, each as likely as the others.

    Args:
        pipelines: lists of transforms.
    """

    def __init__(self, pipelines: Sequence[Sequence[Any]]) -> None:
        super().__init__()
        self.pipelines = torch.nn.ModuleList(v2.Compose(list(pipeline)) for pipeline in pipelines)

    def forward(self, *inputs: Any) -> Any:
        return self.pipelines[int(torch.randint(len(self.pipelines), ()))](*inputs)


@TRANSFORMS.register_module()
class UntilEpoch(v2.Transform):
    """Transforms that end before training does: from an epoch on, images pass as they are.

    Args:
        epoch: the first one without them, counted from 0.
        transforms: one after the other.
    """

    def __init__(self, epoch: int, transforms: Sequence[Any]) -> None:
        super().__init__()
        self.epoch, self.transforms = epoch, v2.Compose(list(transforms))

    def forward(self, *inputs: Any) -> Any:
        if current_epoch() < self.epoch:
            return self.transforms(*inputs)
        return inputs if len(inputs) > 1 else inputs[0]
