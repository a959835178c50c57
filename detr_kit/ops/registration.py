"""What the native operators need besides kernels: shapes for tracing, gradients, the autocast rule.

Schemas and kernels come from `detr_kit._C`; without it this module has nothing to do and is not imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ops = torch.ops.detr_kit
_library = torch.library.Library("detr_kit", "IMPL")


# ---- shapes and dtypes of the results ----


@torch.library.register_fake("detr_kit::ms_deform_attn")
def _(value: Tensor, shapes: list[int], shapes_tensor: Tensor | None, locations: Tensor, weights: Tensor):
    return value.new_empty(value.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


@torch.library.register_fake("detr_kit::ms_deform_attn_backward")
def _(grad_output, value, shapes, shapes_tensor, locations, weights, deterministic=False):
    return tuple(like.new_empty(like.shape) for like in (value, locations, weights))


@torch.library.register_fake("detr_kit::ms_deform_attn_fused")
def _(value, shapes, shapes_tensor, reference, offsets, logits):
    return value.new_empty(value.shape[0], offsets.shape[1], value.shape[2] * value.shape[3])


@torch.library.register_fake("detr_kit::ms_deform_attn_fused_backward")
def _(
    grad_output, value, shapes, shapes_tensor, reference, offsets, logits, reference_gradient,
    deterministic=False,
):  # fmt: skip
    return (
        value.new_empty(value.shape),
        reference.new_empty(reference.shape if reference_gradient else (0,)),
        offsets.new_empty(offsets.shape),
        logits.new_empty(logits.shape),
    )


# ---- gradients: only the inputs are kept, the backward kernels compute the rest anew ----


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    value, ctx.shapes, shapes_tensor, *rest = inputs
    ctx.save_for_backward(value, shapes_tensor, *rest)


def _backward(ctx: Any, grad_output: Tensor) -> tuple:
    value, shapes_tensor, locations, weights = ctx.saved_tensors
    gradients = ops.ms_deform_attn_backward(
        grad_output, value, ctx.shapes, shapes_tensor, locations, weights,
        torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip
    return gradients[0], None, None, gradients[1], gradients[2]


def _fused_backward(ctx: Any, grad_output: Tensor) -> tuple:
    value, shapes_tensor, reference, offsets, logits = ctx.saved_tensors
    reference_gradient = ctx.needs_input_grad[3]
    gradients = ops.ms_deform_attn_fused_backward(
        grad_output, value, ctx.shapes, shapes_tensor, reference, offsets, logits, reference_gradient,
        torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip
    return gradients[0], None, None, gradients[1] if reference_gradient else None, gradients[2], gradients[3]


def _no_second_derivative(ctx: Any, *grads: Tensor) -> tuple:
    raise NotImplementedError("ms_deform_attn has first derivatives only; it cannot be differentiated twice")


torch.library.register_autograd("detr_kit::ms_deform_attn", _backward, setup_context=_save)
torch.library.register_autograd("detr_kit::ms_deform_attn_fused", _fused_backward, setup_context=_save)
torch.library.register_autograd("detr_kit::ms_deform_attn_backward", _no_second_derivative)
torch.library.register_autograd("detr_kit::ms_deform_attn_fused_backward", _no_second_derivative)


# ---- autocast: value is stored in the low precision; where to sample never is ----


def _register_autocast(name: str, device: str, key: str) -> None:
    operator: Callable = getattr(ops, name)

    def autocast(value: Tensor, *rest: Any) -> Tensor:
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return operator(value if value.dtype == torch.float64 else value.to(dtype), *rest)

    _library.impl(name, autocast, key)


for _name in ("ms_deform_attn", "ms_deform_attn_fused"):
    _register_autocast(_name, "cpu", "AutocastCPU")
    _register_autocast(_name, "cuda", "AutocastCUDA")
