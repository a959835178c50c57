"""Multi-scale deformable attention as a module (Zhu et al. 2021, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...ops import ms_deform_attn_fused


class MSDeformAttn(nn.Module):
    """Each query samples a few points around its reference point on every level.

    Args:
        embed_dims: channels of query and value.
        num_heads: heads; they share the channels.
        num_levels: feature levels.
        num_points: sampling points a head and level.
    """

    def __init__(
        self, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4, num_points: int = 4
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims={embed_dims} is not a multiple of num_heads={num_heads}")
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        points = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dims, points * 2)
        self.attention_weights = nn.Linear(embed_dims, points)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Points on rays, one direction a head, one pixel further each; equal weights (appendix A.4)."""
        angle = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        ray = torch.stack((angle.cos(), angle.sin()), dim=-1)
        ray = ray / ray.abs().amax(dim=-1, keepdim=True)
        step = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        grid = ray[:, None, None, :] * step[None, None, :, None]
        grid = grid.expand(self.num_heads, self.num_levels, self.num_points, 2)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(grid.reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        value: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: (B, Q, C).
            reference_points: (B, Q, L, 2) points or (B, Q, L, 4) cxcywh boxes in [0, 1], at least float32.
            value: (B, S, C), the levels one after the other.
            spatial_shapes: (H, W) of each level.
            padding_mask: (B, S) True on padding, or None.

        Returns:
            (B, Q, C).
        """
        batch, queries, _ = query.shape
        shape = (batch, queries, self.num_heads, self.num_levels, self.num_points)
        value = self.value_proj(value)
        if padding_mask is not None:
            value = value.masked_fill(padding_mask[..., None], 0)
        output = ms_deform_attn_fused(
            value.unflatten(-1, (self.num_heads, -1)),
            spatial_shapes,
            None,
            reference_points,
            self.sampling_offsets(query).view(*shape, 2),
            self.attention_weights(query).view(shape),
        )
        return self.output_proj(output)
