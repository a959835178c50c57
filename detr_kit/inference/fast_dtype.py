"""Whether half precision is worth it here: instructions for bf16 may be there and slower."""

from __future__ import annotations

import time
from functools import cache

import torch

_WORTH_IT = 1.2
_TRIALS = 5


@cache
def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where multiplying matrices in it is faster by a fifth than in float32, else float32.

    It is tried once a process, in some 50 ms: an Intel Xeon with AVX512-BF16 and without AMX takes 1.7 times
    as long in bf16 (docs/performance.md).
    """
    if device.type not in ("cpu", "cuda"):
        return torch.float32
    single, half = (_milliseconds(dtype, device) for dtype in (torch.float32, torch.bfloat16))
    return torch.bfloat16 if half * _WORTH_IT < single else torch.float32


@torch.inference_mode()
def _milliseconds(dtype: torch.dtype, device: torch.device) -> float:
    """The best of a few trials, which what else runs here disturbs the least."""
    a, b = (torch.ones(size, dtype=dtype, device=device) for size in ((512, 1024), (1024, 1024)))
    best = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        (a @ b)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return best * 1e3
