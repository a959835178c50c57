"""Multi-scale deformable attention in plain PyTorch: the definition that every other backend is held to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SpatialShapes = Tensor | Sequence[tuple[int, int]]


def level_shapes(spatial_shapes: SpatialShapes) -> list[tuple[int, int]]:
    """(height, width) of each level as integers; a list passes through, a tensor (L, 2) is read once."""
    if isinstance(spatial_shapes, Tensor):
        return [(height, width) for height, width in spatial_shapes.tolist()]
    return list(spatial_shapes)


def sampling_locations_of(
    spatial_shapes: SpatialShapes, reference_points: Tensor, sampling_offsets: Tensor
) -> Tensor:
    """Where each point samples (Deformable DETR, section 4.1 and appendix A.4).

    Args:
        spatial_shapes: (L, 2) as (H, W).
        reference_points: (B, Q, L, 2) points or (B, Q, L, 4) cxcywh boxes, in [0, 1].
        sampling_offsets: (B, Q, M, L, P, 2) as (x, y): in pixels of the level around a point, in
            half box sizes divided by P around a box.

    Returns:
        (B, Q, M, L, P, 2) in [0, 1] as (x, y).

    Raises:
        ValueError: the last dimension of reference_points is neither 2 nor 4.
    """
    num_points = sampling_offsets.shape[-2]
    points = reference_points[:, :, None, :, None, :]
    if reference_points.shape[-1] == 2:
        # Level by level, with plain numbers: one tensor of sizes would be a constant of an exported graph.
        levels = zip(sampling_offsets.unbind(3), level_shapes(spatial_shapes), strict=True)
        steps = [
            torch.stack((o[..., 0] / width, o[..., 1] / height), dim=-1) for o, (height, width) in levels
        ]
        return points + torch.stack(steps, dim=3)
    if reference_points.shape[-1] == 4:
        return points[..., :2] + sampling_offsets / num_points * points[..., 2:] * 0.5
    raise ValueError(
        f"reference_points ends in {reference_points.shape[-1]}; it must end in 2 (x, y) or 4 (cx, cy, w, h)"
    )


def ms_deform_attn_reference(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    level_start_index: Tensor | None,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Weighted sum of bilinear samples over levels and points (Deformable DETR, equation 3).

    Shapes as in `ms_deform_attn`. Half-precision input is sampled in float32 (CPU grid_sample gives wrong
    numbers in half precision on some releases) and the result is cast back.
    """
    batch, _, heads, head_dim = value.shape
    _, queries, _, _, points, _ = sampling_locations.shape
    dtype = torch.promote_types(value.dtype, torch.float32)
    shapes = level_shapes(spatial_shapes)
    grids = 2 * sampling_locations.to(dtype) - 1
    sampled = []
    for level, level_value in enumerate(value.split([h * w for h, w in shapes], dim=1)):
        height, width = shapes[level]
        maps = level_value.to(dtype).permute(0, 2, 3, 1).reshape(batch * heads, head_dim, height, width)
        grid = grids[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries, points, 2)
        sampled.append(F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    weights = attention_weights.to(dtype).transpose(1, 2).reshape(batch * heads, 1, queries, -1)
    output = (torch.cat(sampled, dim=-1) * weights).sum(-1)
    return output.view(batch, heads * head_dim, queries).transpose(1, 2).to(value.dtype)


def ms_deform_attn_fused_reference(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    level_start_index: Tensor | None,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    """`ms_deform_attn_fused` step by step: locations, softmax, then `ms_deform_attn_reference`."""
    dtype = torch.promote_types(value.dtype, torch.float32)
    locations = sampling_locations_of(spatial_shapes, reference_points.to(dtype), sampling_offsets.to(dtype))
    weights = attention_logits.to(dtype).flatten(-2).softmax(-1).view_as(attention_logits)
    return ms_deform_attn_reference(value, spatial_shapes, level_start_index, locations, weights)
