"""The first stage of two-stage Deformable DETR: every encoder pixel proposes a box (appendix A.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..layers.position_encoding import sine_encoding


def proposal_anchors(masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One anchor a pixel: its centre, with sides 0.05 · 2^level.

    Args:
        masks: (B, H, W) of each level, True on padding.

    Returns:
        anchors (B, S, 4) cxcywh before the sigmoid, +inf where invalid;
        invalid (B, S) bool: padding, or a coordinate outside (0.01, 0.99).
    """
    anchors = []
    for level, mask in enumerate(masks):
        batch, height, width = mask.shape
        y, x = torch.meshgrid(
            torch.arange(height, dtype=torch.float32, device=mask.device),
            torch.arange(width, dtype=torch.float32, device=mask.device),
            indexing="ij",
        )
        image_size = torch.stack(((~mask[:, 0, :]).sum(1), (~mask[:, :, 0]).sum(1)), dim=-1)
        centre = (torch.stack((x, y), dim=-1) + 0.5) / image_size[:, None, None]
        side = torch.full_like(centre, 0.05 * 2.0**level)
        anchors.append(torch.cat((centre, side), dim=-1).view(batch, -1, 4))
    proposals = torch.cat(anchors, dim=1)
    inside = ((proposals > 0.01) & (proposals < 0.99)).all(-1)
    invalid = torch.cat([mask.flatten(1) for mask in masks], dim=1) | ~inside
    logits = torch.log(proposals / (1 - proposals))
    return logits.masked_fill(invalid[..., None], math.inf), invalid


class ProposalStage(nn.Module):
    """Scores the memory, picks the best proposals and turns them into queries.

    Args:
        embed_dims: width of the model.
        num_queries: proposals to keep.
    """

    def __init__(self, embed_dims: int, num_queries: int) -> None:
        super().__init__()
        self.embed_dims, self.num_queries = embed_dims, num_queries
        self.memory_proj = nn.Linear(embed_dims, embed_dims)
        self.memory_norm = nn.LayerNorm(embed_dims)
        self.query_proj = nn.Linear(2 * embed_dims, 2 * embed_dims)
        self.query_norm = nn.LayerNorm(2 * embed_dims)
        for projection in (self.memory_proj, self.query_proj):
            nn.init.xavier_uniform_(projection.weight)

    def propose(
        self, memory: Tensor, masks: Sequence[Tensor], class_head: nn.Module, box_head: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """(logits (B, S, num_classes), boxes (B, S, 4) before the sigmoid) of every encoder pixel."""
        anchors, invalid = proposal_anchors(masks)
        memory = self.memory_norm(self.memory_proj(memory.masked_fill(invalid[..., None], 0)))
        logits = class_head(memory)
        return logits, box_head(memory).to(anchors.dtype) + anchors

    def queries(self, logits: Tensor, boxes: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The best proposals by logit channel 0 -> query_position, target (B, Q, C), reference (B, Q, 4)."""
        count = min(self.num_queries, logits.shape[1])
        best = logits[..., 0].topk(count, dim=1).indices
        reference = boxes.detach().gather(1, best[..., None].expand(-1, -1, 4)).sigmoid()
        encoding = sine_encoding(reference * (2 * math.pi), self.embed_dims // 2).flatten(-2)
        query_position, target = self.query_norm(self.query_proj(encoding.to(dtype))).chunk(2, dim=-1)
        return query_position, target, reference
