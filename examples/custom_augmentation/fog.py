"""Fog as an augmentation: a transform of torchvision's v2 kind."""

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from detr_kit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Fog(v2.Transform):
    """Mix a picture with white; boxes and labels stay as they are.

    Args:
        p: of how many pictures.
        most: share of white at most, in [0, 1].
    """

    def __init__(self, p: float = 0.5, most: float = 0.6) -> None:
        super().__init__()
        self.p, self.most = p, most

    # Random numbers from torch's generator: it is seeded for each picture, so a resumed run draws the same.
    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        on = float(torch.rand(())) < self.p
        return {"share": float(torch.rand(())) * self.most if on else 0.0}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image) or not params["share"]:
            return inpt
        foggy = inpt.float().lerp(torch.tensor(255.0), params["share"])
        return tv_tensors.wrap(foggy.round().to(inpt.dtype), like=inpt)
