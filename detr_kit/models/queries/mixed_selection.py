"""Mixed query selection: boxes come from the encoder, contents are learned (Zhang et al. 2023, 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ..layers.feed_forward import MLP
from ..layers.precision import at_least_float32
from .proposals import proposal_anchors


class Selected(NamedTuple):
    """The best Q proposals of each image, best first.

    Attributes:
        logits: (B, Q, num_classes); boxes: (B, Q, 4) cxcywh.
        tokens: (B, Q) int64, the encoder pixels they are of.
    """

    logits: Tensor
    boxes: Tensor
    tokens: Tensor


class MixedQuerySelection(nn.Module):
    """Scores every encoder pixel and keeps the boxes of those that are surest of any class.

    Unlike Deformable DETR's proposals they know classes, and have heads of their own:

        memory ─ Linear ─ LayerNorm ─┬─ class head ─ best of its classes ─ top Q ─┐
                                     └────────────────────────────────────────────┴─ box head ─ + anchor

    Boxes are computed for the chosen pixels alone.

    Args:
        embed_dims: width of the model.
        num_queries: proposals to keep; a small image may have fewer pixels.
        class_head, box_head: heads of its own.
    """

    def __init__(self, embed_dims: int, num_queries: int, class_head: nn.Linear, box_head: MLP) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.memory_proj = nn.Linear(embed_dims, embed_dims)
        self.memory_norm = nn.LayerNorm(embed_dims)
        self.class_head, self.box_head = class_head, box_head
        nn.init.xavier_uniform_(self.memory_proj.weight)

    def forward(self, memory: Tensor, masks: Sequence[Tensor]) -> Selected:
        """memory (B, S, C) and the (B, H, W) padding mask of each level -> the queries' boxes."""
        anchors, invalid = proposal_anchors(masks)
        memory = self.memory_norm(self.memory_proj(memory.masked_fill(invalid[..., None], 0)))
        logits = at_least_float32(self.class_head(memory))
        tokens = logits.amax(-1).topk(min(self.num_queries, logits.shape[1]), dim=1).indices
        delta = at_least_float32(self.box_head(_rows(memory, tokens)))
        return Selected(_rows(logits, tokens), (delta + _rows(anchors, tokens)).sigmoid(), tokens)


def _rows(values: Tensor, tokens: Tensor) -> Tensor:
    """values (B, S, C), tokens (B, Q) -> (B, Q, C)."""
    return values.gather(1, tokens[..., None].expand(-1, -1, values.shape[-1]))
