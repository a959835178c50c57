"""The two entries to multi-scale deformable attention: the classical one and the fused one."""

from __future__ import annotations

import torch
from torch import Tensor

from .reference import SpatialShapes, ms_deform_attn_reference, sampling_locations_of


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    level_start_index: Tensor | None,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Multi-scale deformable attention with given locations and weights: drop-in for the original op.

    Args:
        value: (B, S, M, D), the levels one after the other, each row by row; S is the sum of H · W.
        spatial_shapes: (L, 2) as (H, W), a tensor or a list of pairs.
        level_start_index: (L,) where each level starts in S. It follows from spatial_shapes; None is fine.
        sampling_locations: (B, Q, M, L, P, 2) in [0, 1] as (x, y). What lies outside contributes zero.
        attention_weights: (B, Q, M, L, P), already normalised.

    Returns:
        (B, Q, M · D) in value's dtype.
    """
    return ms_deform_attn_reference(
        value, spatial_shapes, level_start_index, sampling_locations, attention_weights
    )


def ms_deform_attn_fused(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    level_start_index: Tensor | None,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> Tensor:
    """Multi-scale deformable attention from raw offsets and logits; softmax and locations are inside.

    Coordinates and softmax are float32 (float64 for float64) whatever the dtype of the inputs.

    Args:
        value, spatial_shapes, level_start_index: as in `ms_deform_attn`.
        reference_points: (B, Q, L, 2) points or (B, Q, L, 4) cxcywh boxes, in [0, 1].
        sampling_offsets: (B, Q, M, L, P, 2) as (x, y), see `sampling_locations_of`.
        attention_logits: (B, Q, M, L, P), before the softmax over L · P.

    Returns:
        (B, Q, M · D) in value's dtype.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    locations = sampling_locations_of(spatial_shapes, reference_points.to(dtype), sampling_offsets.to(dtype))
    weights = attention_logits.to(dtype).flatten(-2).softmax(-1).view_as(attention_logits)
    return ms_deform_attn_reference(value, spatial_shapes, level_start_index, locations, weights)
