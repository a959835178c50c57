"""What the operators need besides kernels: shapes for tracing, gradients, the autocast rule.

The namespace `detr_kit` is native (schemas and kernels of `detr_kit._C`), `detr_kit_triton` is Triton's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_libraries: list[torch.library.Library] = []  # torch forgets what a library registered when it goes


def register(namespace: str) -> None:
    """Give the operators of a namespace everything but kernels; schemas are those of ops/registration.cpp."""
    ops = getattr(torch.ops, namespace)
    for name, fake in _FAKES.items():
        torch.library.register_fake(f"{namespace}::{name}", fake)

    def backward(ctx: Any, grad_output: Tensor) -> tuple:
        value, shapes_tensor, locations, weights = ctx.saved_tensors
        gradients = ops.ms_deform_attn_backward(
            grad_output, value, ctx.shapes, shapes_tensor, locations, weights,
            torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip
        return gradients[0], None, None, gradients[1], gradients[2]

    def fused_backward(ctx: Any, grad_output: Tensor) -> tuple:
        value, shapes_tensor, reference, offsets, logits = ctx.saved_tensors
        reference_gradient = ctx.needs_input_grad[3]
        gradients = ops.ms_deform_attn_fused_backward(
            grad_output, value, ctx.shapes, shapes_tensor, reference, offsets, logits, reference_gradient,
            torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip
        of_reference = gradients[1] if reference_gradient else None
        return gradients[0], None, None, of_reference, gradients[2], gradients[3]

    for name, rule in (("ms_deform_attn", backward), ("ms_deform_attn_fused", fused_backward)):
        torch.library.register_autograd(f"{namespace}::{name}", rule, setup_context=_save)
        torch.library.register_autograd(f"{namespace}::{name}_backward", _no_second_derivative)

    library = torch.library.Library(namespace, "IMPL")
    _libraries.append(library)
    for name in ("ms_deform_attn", "ms_deform_attn_fused"):
        for device, key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):
            library.impl(name, _autocast(getattr(ops, name), device), key)


# ---- shapes and dtypes of the results ----


def _fake(value: Tensor, shapes: list[int], shapes_tensor: Tensor | None, locations: Tensor, weights: Tensor):
    return value.new_empty(value.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


def _fake_backward(grad_output, value, shapes, shapes_tensor, locations, weights, deterministic=False):
    return tuple(like.new_empty(like.shape) for like in (value, locations, weights))


def _fake_fused(value, shapes, shapes_tensor, reference, offsets, logits):
    return value.new_empty(value.shape[0], offsets.shape[1], value.shape[2] * value.shape[3])


def _fake_fused_backward(
    grad_output, value, shapes, shapes_tensor, reference, offsets, logits, reference_gradient,
    deterministic=False,
):  # fmt: skip
    return (
        value.new_empty(value.shape),
        reference.new_empty(reference.shape if reference_gradient else (0,)),
        offsets.new_empty(offsets.shape),
        logits.new_empty(logits.shape),
    )


_FAKES: dict[str, Callable[..., Any]] = {
    "ms_deform_attn": _fake,
    "ms_deform_attn_backward": _fake_backward,
    "ms_deform_attn_fused": _fake_fused,
    "ms_deform_attn_fused_backward": _fake_fused_backward,
}


# ---- gradients: only the inputs are kept, the backward kernels compute the rest anew ----


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    value, ctx.shapes, shapes_tensor, *rest = inputs
    ctx.save_for_backward(value, shapes_tensor, *rest)


def _no_second_derivative(ctx: Any, *grads: Tensor) -> tuple:
    raise NotImplementedError("ms_deform_attn has first derivatives only; it cannot be differentiated twice")


# ---- autocast: value is stored in the low precision; where to sample never is ----


def _autocast(operator: Callable, device: str) -> Callable:
    def autocast(value: Tensor, *rest: Any) -> Tensor:
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return operator(value if value.dtype == torch.float64 else value.to(dtype), *rest)

    return autocast
