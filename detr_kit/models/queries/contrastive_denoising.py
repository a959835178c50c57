"""Contrastive denoising: noisy objects to put right, and noisier ones to turn down (Zhang et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert

from ...registry import MODELS
from .denoising import Denoising, Noise


@MODELS.register_module()
class ContrastiveDenoising(Denoising):
    """Queries from noisy objects as DINO makes them, and RT-DETR and D-FINE after it (DINO, section 3.3).

    Every group holds the objects of its image twice: positives, to be put right, then negatives, whose boxes
    are further off and which have to answer "no object".

        [ group 0: +o0 +o1 … -o0 -o1 … | group 1: … | the other queries ]

    The corners of a box move: those of a positive by less than `box_noise` half sides, those of a negative by
    more, and less than twice that.

    Args:
        num_denoising, num_groups: see Denoising; positives are counted.
        label_noise: see Denoising. The 0.5 in the configs of DINO and RT-DETR is halved by their code.
        box_noise: see above: 1 as DINO was trained, in RT-DETR and D-FINE.
        padding_box: see Denoising.
        swap_crossed: a box whose corners have crossed has them swapped, as in D-FINE; else its side is 0.
    """

    queries_per_object = 2
    teaches_padding = True

    def __init__(
        self,
        num_denoising: int | None = None,
        num_groups: int | None = None,
        label_noise: float = 0.25,
        box_noise: float = 1.0,
        padding_box: float = 0.5,
        swap_crossed: bool = False,
    ) -> None:
        super().__init__(num_groups, num_denoising, label_noise, box_noise, padding_box)
        self.swap_crossed = swap_crossed

    def _move(self, boxes: Tensor, noise: Noise, most: int, groups: int) -> Tensor:
        """See Denoising."""
        further = torch.arange(2, device=boxes.device).repeat_interleave(most).repeat(groups)[:, None]
        reach = (boxes[..., 2:] / 2).repeat(1, 1, 2) * self.box_noise
        corners = box_convert(boxes, "cxcywh", "xyxy") + noise.sign * (noise.size + further) * reach
        moved = box_convert(corners.clamp(0, 1), "xyxy", "cxcywh")
        return moved.abs() if self.swap_crossed else moved
