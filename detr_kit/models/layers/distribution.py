"""Boxes as distributions: each edge is a softmax over distances (D-FINE, Peng et al. 2025, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert


def bin_distances(num_bins: int, up: Tensor, scale: Tensor) -> Tensor:
    """W(n), equation 3: how far the bins are, close together around 0 and wide apart outside.

    Args:
        num_bins: N; there are N + 1 values.
        up: (1,) a: the largest distance is 2 · a sides.
        scale: (1,) c: how flat the middle is, and in what part of a side distances are counted.

    Returns:
        (N + 1,) float32, rising, in sides divided by c.
    """
    bound = (up.abs() * scale.abs()).float()
    steps = torch.arange(1, num_bins // 2, device=up.device)
    right = ((bound + 1) ** (2 / (num_bins - 2))) ** steps - 1
    return torch.cat((-2 * bound, -right.flip(0), torch.zeros_like(bound), right, 2 * bound))


def mean_distances(edges: Tensor, distances: Tensor) -> Tensor:
    """edges (…, 4 · (N + 1)) logits, distances (N + 1,) -> (…, 4), the mean of each edge's distribution."""
    return edges.unflatten(-1, (4, len(distances))).softmax(-1) @ distances


def move_edges(boxes: Tensor, distances: Tensor, scale: Tensor) -> Tensor:
    """Move the edges of boxes outwards (equation 1).

    Args:
        boxes: (…, 4) cxcywh.
        distances: (…, 4) of the left, top, right and bottom edge from where it is, see `bin_distances`.
        scale: (1,) c of `bin_distances`.

    Returns:
        (…, 4) cxcywh.
    """
    centre, sides = boxes.chunk(2, dim=-1)
    parts = torch.cat((sides, sides), dim=-1) / scale.abs()
    reach = (0.5 * scale.abs() + distances) * parts
    corners = torch.cat((centre - reach[..., :2], centre + reach[..., 2:]), dim=-1)
    return box_convert(corners, "xyxy", "cxcywh")


def edge_distances(boxes: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
    """The distances by which `move_edges` makes of boxes (K, 4) the wanted ones (K, 4), both cxcywh."""
    centre, sides = boxes.chunk(2, dim=-1)
    parts = torch.cat((sides, sides), dim=-1) / scale.abs()
    corners = box_convert(wanted, "cxcywh", "xyxy")
    reach = torch.cat((centre - corners[..., :2], corners[..., 2:] - centre), dim=-1)
    return reach / parts.clamp(min=1e-16) - 0.5 * scale.abs()
