"""Weights, inputs and targets from which the files beside were measured on the original code."""

import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ..places import REFERENCE

SIZES = [(256, 320), (288, 224)]
ORIGINAL_SIZES = [(480, 640), (500, 333)]


def weights_from_names(keys: dict[str, list[int]], alias: dict[str, str]) -> dict[str, torch.Tensor]:
    """Every floating tensor drawn from a generator seeded by its name; aliases are the same tensor."""
    return {name: _tensor(alias.get(name, name), tuple(shape)) for name, shape in keys.items()}


@lru_cache(maxsize=4000)  # the models share most of their names, and drawing takes a second each
def _tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif name.endswith("running_mean"):
        x = 0.1 * x
    elif x.ndim >= 2:
        if not any(part in name for part in ("query_embed", "level_embed")):
            x = x / np.float32(np.sqrt(np.prod(shape[1:])))
    elif name.endswith("weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.1 * x
    return torch.from_numpy(np.asarray(x, dtype=np.float32))


def images_and_mask() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images of unequal size, zero-padded to 288 × 320."""
    r = np.random.default_rng(7)
    images, mask = torch.zeros(2, 3, 288, 320), torch.ones(2, 288, 320, dtype=torch.bool)
    for i, (height, width) in enumerate(SIZES):
        images[i, :, :height, :width] = torch.from_numpy(
            r.standard_normal((3, height, width)).astype(np.float32)
        )
        mask[i, :height, :width] = False
    return images, mask


def targets() -> list[dict[str, torch.Tensor]]:
    """Five objects, then three."""
    r = np.random.default_rng(11)
    result = []
    for n in (5, 3):
        centre, size = r.uniform(0.3, 0.7, (n, 2)), r.uniform(0.1, 0.5, (n, 2))
        labels = r.integers(1, 91, n)
        boxes = np.concatenate((centre, size), axis=1).astype(np.float32)
        result.append({"labels": torch.from_numpy(labels), "boxes": torch.from_numpy(boxes)})
    return result


def random_images(sizes: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of given sizes and their padding mask, as tests/parity/reference/variants was measured with."""
    r = np.random.default_rng(sum(map(sum, sizes)))
    height, width = (max(side) for side in zip(*sizes, strict=True))
    images = torch.zeros(len(sizes), 3, height, width)
    mask = torch.ones(len(sizes), height, width, dtype=torch.bool)
    for i, (h, w) in enumerate(sizes):
        images[i, :, :h, :w] = torch.from_numpy(r.standard_normal((3, h, w)).astype(np.float32))
        mask[i, :h, :w] = False
    return images, mask


@dataclass
class Reference:
    """One file pair of tests/parity/reference."""

    name: str
    folder: Path = REFERENCE

    def __post_init__(self) -> None:
        self.record = json.loads((self.folder / f"{self.name}.json").read_text())
        self.arrays = {k: torch.from_numpy(v) for k, v in np.load(self.folder / f"{self.name}.npz").items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return weights_from_names(self.record["keys"], self.record["alias"])
