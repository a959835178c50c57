"""From tensors to the Triton kernels and back. Level shapes come as the flat list H0, W0, H1, W1, …"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .triton_kernels import backward_kernel, forward_kernel

# A program is one warp. With more, Triton's layouts exchange what an item has through shared memory at every
# point, with barriers: 138 in the machine code of backward for bfloat16 and sm_90.
_LANES = 32
_LARGEST_SIDE = 2**24  # whole numbers up to here are floats


def forward(value: Tensor, shapes: list[int], reference: Tensor | None, coordinates: Tensor, weights: Tensor):
    """(B, Q, M · D) in value's dtype; without `reference`, coordinates are locations and weights final."""
    batch, _, heads, head_dim = value.shape
    output = value.new_zeros(batch, coordinates.shape[1], heads * head_dim)
    _launch(forward_kernel, (value, coordinates, weights, reference), shapes, output)
    return output


def backward(
    grad_output: Tensor, value: Tensor, shapes: list[int], reference: Tensor | None, coordinates: Tensor,
    weights: Tensor, reference_gradient: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of value, of the reference points (empty unless wanted), of coordinates and weights.

    They are collected in the precision of the computation and rounded once.
    """
    compute = torch.promote_types(value.dtype, torch.float32)
    grad_value = value.new_zeros(value.shape, dtype=compute)
    grad_coordinates = coordinates.new_zeros(coordinates.shape)
    grad_weights = weights.new_zeros(weights.shape, dtype=compute)
    grad_reference = grad_value.new_zeros(0)
    if reference_gradient:
        assert reference is not None
        grad_reference = grad_value.new_zeros(*weights.shape[:4], reference.shape[-1])
    results = grad_value, grad_coordinates, grad_weights, grad_reference
    inputs = value, coordinates, weights, reference
    _launch(backward_kernel, inputs, shapes, grad_output.contiguous(), *results,
            REFERENCE_GRADIENT=reference_gradient)  # fmt: skip
    if reference_gradient:
        grad_reference = grad_reference.sum(2)  # over heads
    return grad_value.to(value.dtype), grad_reference, grad_coordinates, grad_weights.to(weights.dtype)


def constants(
    dtype: torch.dtype, head_dim: int, levels: int, points: int, reference_dim: int
) -> dict[str, Any]:
    """What both kernels are compiled for; see triton_kernels."""
    channels = triton.next_power_of_2(head_dim)
    sixteen_bytes_a_lane = _LANES * 16 // dtype.itemsize // channels
    return dict(
        HEAD_DIM=head_dim, LEVELS=levels, POINTS=points, REFERENCE=reference_dim,
        ITEMS=min(max(sixteen_bytes_a_lane, 1), _LANES), CHANNELS=channels,
        CHUNK=min(triton.next_power_of_2(levels * points), 32),
        COMPUTE=tl.float64 if dtype == torch.float64 else tl.float32,
    )  # fmt: skip


def _launch(
    kernel: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], shapes: list[int], *more: Tensor,
    **choices: Any,
) -> None:  # fmt: skip
    value, _, weights, reference = inputs
    batch, rows, heads, head_dim = value.shape
    queries, levels, points = weights.shape[1], *weights.shape[3:]
    _check_shapes(shapes, levels, rows)
    if value.numel() == 0 or weights.numel() == 0:
        return
    fixed = constants(value.dtype, head_dim, levels, points, 0 if reference is None else reference.shape[-1])
    grid = (batch * triton.cdiv(queries, fixed["ITEMS"]) * heads,)
    with torch.cuda.device(value.device) if value.is_cuda else nullcontext():
        kernel[grid](
            *(None if tensor is None else tensor.contiguous() for tensor in inputs), *more,
            tuple(float(size) for size in shapes), rows, queries, heads, **fixed, **choices, num_warps=1,
        )  # fmt: skip


def _check_shapes(shapes: list[int], levels: int, rows: int) -> None:
    """What memory safety needs; the Python entries check first and explain better."""
    if len(shapes) != 2 * levels:
        raise RuntimeError("spatial_shapes must have a pair for each level")
    described = sum(height * width for height, width in zip(shapes[::2], shapes[1::2], strict=True))
    if described != rows or not all(0 <= size < _LARGEST_SIDE for size in shapes):
        raise RuntimeError(f"spatial_shapes describes {described} rows, value has {rows}")
