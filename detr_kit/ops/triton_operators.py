"""The op's operators with Triton's kernels: for GPUs whose native kernels were not built.

Triton is imported and compiles when an operator is called first. With TRITON_INTERPRET=1 it runs on the CPU.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from .registration import register


def _ms_deform_attn(value, shapes, shapes_tensor, locations, weights):
    from .triton_launch import forward

    return forward(value, _numbers(shapes, shapes_tensor), None, locations, weights)


def _ms_deform_attn_backward(
    grad_output, value, shapes, shapes_tensor, locations, weights, deterministic=False
):
    from .triton_launch import backward

    _say_if(deterministic)
    gradients = backward(grad_output, value, _numbers(shapes, shapes_tensor), None, locations, weights)
    return gradients[0], gradients[2], gradients[3]


def _ms_deform_attn_fused(value, shapes, shapes_tensor, reference, offsets, logits):
    from .triton_launch import forward

    return forward(value, _numbers(shapes, shapes_tensor), reference, offsets, logits)


def _ms_deform_attn_fused_backward(
    grad_output, value, shapes, shapes_tensor, reference, offsets, logits, reference_gradient,
    deterministic=False,
):  # fmt: skip
    from .triton_launch import backward

    _say_if(deterministic)
    shapes = _numbers(shapes, shapes_tensor)
    return backward(grad_output, value, shapes, reference, offsets, logits, reference_gradient)


def _numbers(shapes: list[int], shapes_tensor: Tensor | None) -> list[int]:
    return list(shapes) if shapes_tensor is None else shapes_tensor.flatten().tolist()


def _say_if(deterministic: bool) -> None:
    """Atomic additions have no order: refuse or warn, as torch's own operators do."""
    if not deterministic:
        return
    message = (
        "ms_deform_attn_backward has no deterministic form in Triton. Build the native kernels, which have "
        "one (docs/op.md), or set torch.use_deterministic_algorithms(True, warn_only=True)"
    )
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(message)
    warnings.warn(message, stacklevel=2)


# Schemas as in ops/registration.cpp.
_OPERATORS = {
    "ms_deform_attn(Tensor value, SymInt[] spatial_shapes, Tensor? spatial_shapes_tensor, "
    "Tensor sampling_locations, Tensor attention_weights) -> Tensor": _ms_deform_attn,
    "ms_deform_attn_backward(Tensor grad_output, Tensor value, SymInt[] spatial_shapes, "
    "Tensor? spatial_shapes_tensor, Tensor sampling_locations, Tensor attention_weights, "
    "bool deterministic=False) -> (Tensor, Tensor, Tensor)": _ms_deform_attn_backward,
    "ms_deform_attn_fused(Tensor value, SymInt[] spatial_shapes, Tensor? spatial_shapes_tensor, "
    "Tensor reference_points, Tensor sampling_offsets, Tensor attention_logits) "
    "-> Tensor": _ms_deform_attn_fused,
    "ms_deform_attn_fused_backward(Tensor grad_output, Tensor value, SymInt[] spatial_shapes, "
    "Tensor? spatial_shapes_tensor, Tensor reference_points, Tensor sampling_offsets, "
    "Tensor attention_logits, bool reference_gradient, bool deterministic=False) "
    "-> (Tensor, Tensor, Tensor, Tensor)": _ms_deform_attn_fused_backward,
}
_library = torch.library.Library("detr_kit_triton", "DEF")
for _schema, _function in _OPERATORS.items():
    _name = _library.define(_schema)
    for _key in ("CUDA", "CPU"):  # the latter for the interpreter
        _library.impl(_name, _function, _key)
register("detr_kit_triton")


def why_not(device: torch.device, trial: bool = True) -> str | None:
    """Why Triton cannot compute on a device; None if it can. The first `trial` on a card runs a kernel."""
    if find_spec("triton") is None:
        return "triton is not installed"
    kind = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
    if device.type != kind:
        return f"its kernels run on {kind} tensors"
    return _why_not_on_card(device.index) if trial and kind == "cuda" and torch.cuda.is_available() else None


@cache
def _why_not_on_card(index: int) -> str | None:
    """Triton needs a C compiler and Python's headers at run time, and a card that it knows."""
    value = torch.zeros(1, 1, 1, 8, device=f"cuda:{index}")
    try:
        _ms_deform_attn(value, [1, 1], None, value[..., :2].view(1, 1, 1, 1, 1, 2), value[..., :1, None])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler, an assembler or a driver may say
        last_line = (str(error).strip().splitlines() or [""])[-1][:200]
        reason = f"triton fails: {type(error).__name__}: {last_line}"
        warnings.warn(
            f"multi-scale deformable attention runs in plain PyTorch on this GPU, since {reason}",
            stacklevel=2,
        )
        return reason
    return None
