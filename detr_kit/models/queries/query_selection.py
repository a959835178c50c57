"""RT-DETR's query selection: the best pixels of the memory become the queries themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..layers.feed_forward import MLP
from ..layers.precision import at_least_float32
from .proposals import proposal_anchors


class SelectedQueries(NamedTuple):
    """The Q best pixels of each image, best first; all but `content` at least float32.

    Attributes:
        content: (B, Q, C), which no gradient leaves.
        logits: (B, Q, num_classes); boxes: (B, Q, 4) cxcywh, what the pixels say themselves.
    """

    content: Tensor
    logits: Tensor
    boxes: Tensor


class QuerySelection(nn.Module):
    """Scores every pixel of the memory and keeps the best, by their surest class (Zhao et al. 2024, 4.3).

    Args:
        embed_dims: width of the memory.
        num_classes: of the scores.
        num_queries: pixels to keep.
    """

    def __init__(self, embed_dims: int, num_classes: int, num_queries: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.memory_proj = nn.Linear(embed_dims, embed_dims)
        self.memory_norm = nn.LayerNorm(embed_dims)
        self.class_head = nn.Linear(embed_dims, num_classes)
        self.box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
        nn.init.xavier_uniform_(self.memory_proj.weight)
        nn.init.constant_(self.class_head.bias, -math.log(99))
        nn.init.zeros_(self.box_head.output_layer.weight)
        nn.init.zeros_(self.box_head.output_layer.bias)

    def forward(self, memory: Tensor, masks: Sequence[Tensor]) -> SelectedQueries:
        """Select.

        Args:
            memory: (B, S, C), the levels one after the other.
            masks: (B, H, W) of each level, True on padding.
        """
        anchors, invalid = proposal_anchors(masks)
        memory = self.memory_norm(self.memory_proj(memory.masked_fill(invalid[..., None], 0)))
        logits = self.class_head(memory)
        best = self.best(logits)[..., None]
        memory, logits, anchors = (_rows(t, best) for t in (memory, logits, anchors))
        # Of the pixels that were kept alone: the box of a pixel depends on no other.
        boxes = (at_least_float32(self.box_head(memory)) + anchors).sigmoid()
        return SelectedQueries(memory.detach(), at_least_float32(logits), boxes)

    def best(self, logits: Tensor) -> Tensor:
        """(B, S, num_classes) -> (B, Q), the rows to keep, best first; a small image may have fewer."""
        return logits.amax(-1).topk(min(self.num_queries, logits.shape[1]), dim=1).indices


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """values (B, S, C), rows (B, Q, 1) -> (B, Q, C)."""
    return torch.gather(values, 1, rows.expand(-1, -1, values.shape[-1]))
