"""Dropout (Srivastava et al. 2014) whose masks cost little on a CPU.

PyTorch draws a double for each number there, which took a fifth of a training step. Here sixteen bits
decide, of a quick generator that PyTorch's seeds: a share of p, rounded to 1 / 65536, is dropped, and what
stays is scaled by exactly what that asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_STEPS = 2**16


class Dropout(nn.Dropout):
    """As PyTorch's, with `dropout` on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return dropout(input, self.p) if self.training else input


def dropout(x: Tensor, p: float) -> Tensor:
    """x with a share p of its numbers set to zero and the others scaled, for training."""
    if not _draws_here(x, p):
        return F.dropout(x, p)
    kept, scale = _kept(x, p)
    return x * kept.mul_(scale)


def relu_dropout(x: Tensor, p: float) -> Tensor:
    """dropout(relu(x), p) for training; on a CPU in one step, which keeps the result and no mask."""
    if not _draws_here(x, p):
        return F.dropout(F.relu(x), p)
    return _ReLUDropout.apply(x, p)


class _ReLUDropout(torch.autograd.Function):
    """Where the result is above zero it was kept, and was above zero before: all that a gradient needs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        kept, ctx.scale = _kept(x, p)
        result = x.clamp(min=0).mul_(kept).mul_(ctx.scale)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, result, 0).mul_(ctx.scale), None


def _draws_here(x: Tensor, p: float) -> bool:
    """Elsewhere PyTorch's own is fast; it is also what knows that all or nothing is dropped."""
    return x.device.type == "cpu" and 0 < p < 1 and not torch.compiler.is_compiling()


def _kept(x: Tensor, p: float) -> tuple[Tensor, float]:
    """One for each number of x that stays and zero for the others, and by what those that stay are scaled."""
    dropped = min(max(round(p * _STEPS), 1), _STEPS - 1)
    generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()))))
    draws = generator.integers(0, 2**64, -(-x.numel() // 4), dtype=np.uint64)
    bits = torch.from_numpy(draws.view(np.int16)[: x.numel()]).view(x.shape)
    kept = torch.empty(x.shape, dtype=x.dtype)
    torch.ge(bits, dropped - _STEPS // 2, out=kept)
    return kept, _STEPS / (_STEPS - dropped)
