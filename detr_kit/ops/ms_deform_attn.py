"""The two entries to multi-scale deformable attention: the classical one and the fused one."""

from __future__ import annotations

import torch
from torch import Tensor

from . import backend
from .reference import (
    SpatialShapes,
    level_shapes,
    ms_deform_attn_fused_reference,
    ms_deform_attn_reference,
)
from .registration import register

if backend._native_devices:
    register("detr_kit")

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    level_start_index: Tensor | None,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Multi-scale deformable attention with given locations and weights: drop-in for the original op.

    Deformable DETR, equation 3. Arithmetic and coordinates are float32 (float64 for float64); give half
    precision's locations in float32, half cannot tell neighbouring pixels of a large map apart.

    Args:
        value: (B, S, M, D), the levels one after the other, each row by row; S is the sum of H · W.
        spatial_shapes: (L, 2) as (H, W), a tensor or a list of pairs.
        level_start_index: (L,) where each level starts in S. It follows from spatial_shapes; None is fine.
        sampling_locations: (B, Q, M, L, P, 2) in [0, 1] as (x, y). What lies outside contributes zero.
        attention_weights: (B, Q, M, L, P), already normalised.

    Returns:
        (B, Q, M · D) in value's dtype.

    Raises:
        ValueError: a shape, dtype or device does not fit the others.
    """
    shapes = _known_shapes(spatial_shapes)
    _check(value, spatial_shapes, shapes, sampling_locations, "sampling_locations", attention_weights,
           "attention_weights")  # fmt: skip
    operators = backend.operators_for(value)
    if operators is None:
        return ms_deform_attn_reference(
            value, spatial_shapes, level_start_index, sampling_locations, attention_weights
        )
    return operators.ms_deform_attn(
        value, *_shape_arguments(spatial_shapes, shapes), sampling_locations, attention_weights
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

    Coordinates and softmax are float32 (float64 for float64) whatever the dtype of the inputs, and nothing of
    size (B, Q, M, L, P) is made.

    Args:
        value, spatial_shapes, level_start_index: as in `ms_deform_attn`.
        reference_points: (B, Q, L, 2) points or (B, Q, L, 4) cxcywh boxes, in [0, 1].
        sampling_offsets: (B, Q, M, L, P, 2) as (x, y), see `sampling_locations_of`.
        attention_logits: (B, Q, M, L, P), before the softmax over L · P.

    Returns:
        (B, Q, M · D) in value's dtype.

    Raises:
        ValueError: a shape, dtype or device does not fit the others.
    """
    shapes = _known_shapes(spatial_shapes)
    _check(value, spatial_shapes, shapes, sampling_offsets, "sampling_offsets", attention_logits,
           "attention_logits")  # fmt: skip
    _check_reference(reference_points, sampling_offsets)
    operators = backend.operators_for(value)
    if operators is None:
        return ms_deform_attn_fused_reference(
            value, spatial_shapes, level_start_index, reference_points, sampling_offsets, attention_logits
        )
    reference_points = reference_points.to(torch.float64 if value.dtype == torch.float64 else torch.float32)
    return operators.ms_deform_attn_fused(
        value, *_shape_arguments(spatial_shapes, shapes), reference_points, sampling_offsets, attention_logits
    )


def _known_shapes(spatial_shapes: SpatialShapes) -> list[tuple[int, int]] | None:
    """The level shapes as numbers; None while a tensor is being traced, whose numbers are not to be had."""
    if isinstance(spatial_shapes, Tensor) and torch.compiler.is_compiling():
        return None
    return level_shapes(spatial_shapes)


def _shape_arguments(
    spatial_shapes: SpatialShapes, shapes: list[tuple[int, int]] | None
) -> tuple[list[int], Tensor | None]:
    """The two ways in which the operators take the level shapes: a flat list, or a tensor."""
    if shapes is None:
        assert isinstance(spatial_shapes, Tensor)
        return [], spatial_shapes.to("cpu", torch.int64)
    return [size for shape in shapes for size in shape], None


def _check(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    shapes: list[tuple[int, int]] | None,
    points: Tensor,
    points_name: str,
    weights: Tensor,
    weights_name: str,
) -> None:
    if value.ndim != 4:
        raise ValueError(f"value has shape {tuple(value.shape)}; it must be (B, S, M, D)")
    if points.ndim != 6 or points.shape[-1] != 2:
        raise ValueError(
            f"{points_name} has shape {tuple(points.shape)}; it must be (B, Q, M, L, P, 2), (x, y) last"
        )
    batch, rows, heads, _ = value.shape
    if points.shape[0] != batch or points.shape[2] != heads:
        raise ValueError(
            f"{points_name} has shape {tuple(points.shape)}, (B, Q, M, L, P, 2); "
            f"value has B {batch} and M {heads}, and they must agree"
        )
    if weights.shape != points.shape[:-1]:
        raise ValueError(
            f"{weights_name} has shape {tuple(weights.shape)}; "
            f"with the given {points_name} it must be {tuple(points.shape[:-1])}"
        )
    if len(spatial_shapes) != points.shape[3]:
        raise ValueError(
            f"spatial_shapes holds {len(spatial_shapes)} levels, {points_name} {points.shape[3]}; "
            "they must agree"
        )
    if shapes is not None and sum(height * width for height, width in shapes) != rows:
        raise ValueError(
            f"value has {rows} rows, spatial_shapes {shapes} describes "
            f"{sum(height * width for height, width in shapes)}; "
            "flatten the same levels, (H, W) each, into value"
        )
    for name, tensor in (("value", value), (points_name, points), (weights_name, weights)):
        if tensor.dtype not in DTYPES:
            raise ValueError(f"{name} is {tensor.dtype}; it must be float32, float64, float16 or bfloat16")
        if tensor.device != value.device:
            raise ValueError(
                f"{name} is on {tensor.device}, value on {value.device}; move them to one device"
            )


def _check_reference(reference_points: Tensor, offsets: Tensor) -> None:
    batch, queries, _, levels = offsets.shape[:4]
    shape = tuple(reference_points.shape)
    if shape[:-1] != (batch, queries, levels) or shape[-1] not in (2, 4):
        raise ValueError(
            f"reference_points has shape {shape}; with the given sampling_offsets it must be "
            f"({batch}, {queries}, {levels}, 2) for points or (…, 4) for cxcywh boxes"
        )
    if reference_points.device != offsets.device:
        raise ValueError(
            f"reference_points is on {reference_points.device}, sampling_offsets on {offsets.device}; "
            "move them to one device"
        )
