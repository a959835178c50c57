"""How many images fit into one batch."""

from __future__ import annotations

import torch

# Memory for a pixel of input while a network runs in float32. The papers' networks took 610 bytes at most on
# a CPU (docs/inference.md); the rest is for the work space of a GPU's convolutions.
BYTES_PER_PIXEL = 1500
MOST = 32


def automatic_batch_size(height: int, width: int, device: torch.device) -> int:
    """Images of height × width pixels to run at once.

    On a GPU as many as half of the free memory takes, at most 32. On a CPU one: the cores are busy with a
    single image already, and a batch only costs memory (docs/inference.md has the figures).
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        return 1
    return min(max(free // 2 // (height * width * BYTES_PER_PIXEL), 1), MOST)
