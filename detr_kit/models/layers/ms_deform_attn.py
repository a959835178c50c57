"""Multi-scale deformable attention as a module (Zhu et al. 2021, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...ops import ms_deform_attn, ms_deform_attn_fused
from ...ops.reference import sampling_locations_of

Shapes = Sequence[tuple[int, int]]
METHODS = ("bilinear", "discrete")


class Values(NamedTuple):
    """What is sampled, ready for the op; layers without projections of their own can share it.

    Attributes:
        values: (B, S, M, D), the maps one after the other.
        shapes: (H, W) of each map.
    """

    values: Tensor
    shapes: Shapes


class MSDeformAttn(nn.Module):
    """Each query samples a few points around its reference point on every level.

    The op takes one number of points for all maps. Where levels have different numbers, a level with more is
    several maps to it, one after the other: 3, 6 and 3 points are 3 points on each of four maps.

        points [3, 6, 3]:   level 0 | level 1 | level 1 again | level 2

    Args:
        embed_dims: channels of query and value.
        num_heads: heads; they share the channels.
        num_levels: feature levels.
        num_points: sampling points a head and level, or the number for each level.
        method: "bilinear", or "discrete" to read whole pixels, which no gradient moves (RT-DETRv2).
        projections: project the values and the result; D-FINE does neither.

    Attributes:
        levels: of each map that the op sees, the level that it is.
        num_points_scale: 1 over the points of its level for each point, where numbers were given by level:
            what weights of other shapes do not tell. RT-DETRv2 and D-FINE store it so.
    """

    num_points_scale: Tensor

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int | Sequence[int] = 4,
        *,
        method: str = "bilinear",
        projections: bool = True,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims={embed_dims} is not a multiple of num_heads={num_heads}")
        if method not in METHODS:
            raise ValueError(f"method={method!r}; it must be one of {', '.join(METHODS)}")
        each = [num_points] * num_levels if isinstance(num_points, int) else list(num_points)
        if len(each) != num_levels or min(each) < 1:
            raise ValueError(
                f"num_points={num_points} for num_levels={num_levels}; give one number, or one a level"
            )
        self.num_heads, self.num_levels, self.method = num_heads, num_levels, method
        self.num_points = math.gcd(*each)
        self.levels = tuple(level for level, n in enumerate(each) for _ in range(n // self.num_points))
        points = num_heads * sum(each)
        self.sampling_offsets = nn.Linear(embed_dims, points * 2)
        self.attention_weights = nn.Linear(embed_dims, points)
        self.value_proj = nn.Linear(embed_dims, embed_dims) if projections else nn.Identity()
        self.output_proj = nn.Linear(embed_dims, embed_dims) if projections else nn.Identity()
        if not isinstance(num_points, int):
            share = torch.tensor([1 / n for n in each for _ in range(n)])
            self.register_buffer("num_points_scale", share)
        self._points_of_levels = each
        self.sampling_offsets.requires_grad_(method == "bilinear")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Points on rays, one direction a head, one pixel further each; equal weights (appendix A.4)."""
        angle = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        ray = torch.stack((angle.cos(), angle.sin()), dim=-1)
        ray = ray / ray.abs().amax(dim=-1, keepdim=True)
        step = torch.cat([torch.arange(1, n + 1, dtype=torch.float32) for n in self._points_of_levels])
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_((ray[:, None] * step[:, None]).reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            if isinstance(projection, nn.Linear):
                nn.init.xavier_uniform_(projection.weight)
                nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        value: Tensor | Values,
        spatial_shapes: Shapes,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: (B, Q, C).
            reference_points: (B, Q, L, 2) points or (B, Q, L, 4) cxcywh boxes in [0, 1], at least float32.
            value: (B, S, C), the levels one after the other; or what `values_of` made of it.
            spatial_shapes: (H, W) of each level.
            padding_mask: (B, S) True on padding, or None.

        Returns:
            (B, Q, C).
        """
        values = value if isinstance(value, Values) else self.values_of(value, spatial_shapes, padding_mask)
        if self.method == "discrete":
            locations, weights = self.points_of(query, reference_points, spatial_shapes)
            output = ms_deform_attn(values.values, values.shapes, None, locations, weights)
        else:
            references, offsets, logits = self._samples(query, reference_points)
            output = ms_deform_attn_fused(values.values, values.shapes, None, references, offsets, logits)
        return self.output_proj(output)

    def values_of(self, value: Tensor, spatial_shapes: Shapes, padding_mask: Tensor | None = None) -> Values:
        """The values of `forward`: projected, zero on padding, with levels repeated as the op needs them."""
        value = self.value_proj(value)
        if padding_mask is not None:
            value = value.masked_fill(padding_mask[..., None], 0)
        if len(self.levels) > self.num_levels:
            maps = value.split([height * width for height, width in spatial_shapes], dim=1)
            value = torch.cat([maps[level] for level in self.levels], dim=1)
        shapes = [spatial_shapes[level] for level in self.levels]
        return Values(value.unflatten(-1, (self.num_heads, -1)), shapes)

    def points_of(
        self, query: Tensor, reference_points: Tensor, spatial_shapes: Shapes
    ) -> tuple[Tensor, Tensor]:
        """Where `forward` reads, and how much that counts.

        Returns:
            locations (B, Q, M, len(levels), P, 2) in [0, 1] as (x, y), weights (B, Q, M, len(levels), P);
            both float32.
        """
        references, offsets, logits = self._samples(query, reference_points)
        shapes = [spatial_shapes[level] for level in self.levels]
        locations = sampling_locations_of(shapes, references.float(), offsets.float())
        if self.method == "discrete":
            locations = _whole_pixels(locations.detach(), shapes)
        return locations, logits.float().flatten(-2).softmax(-1).view_as(logits)

    def _samples(self, query: Tensor, reference_points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """References (B, Q, maps, ·), offsets and logits as the op takes them."""
        shape = (*query.shape[:2], self.num_heads, len(self.levels), self.num_points)
        offsets = self.sampling_offsets(query).view(*shape, 2)
        logits = self.attention_weights(query).view(shape)
        if len(self.levels) > self.num_levels:
            if reference_points.shape[-1] == 4:
                # The op divides a box by its own number of points, the level's own is meant.
                share = (self.num_points_scale * self.num_points).view(*shape[-2:], 1)
                offsets = offsets * share.to(offsets.dtype)
            reference_points = torch.stack([reference_points[:, :, level] for level in self.levels], dim=2)
        return reference_points, offsets, logits


def _whole_pixels(locations: Tensor, shapes: Shapes) -> Tensor:
    """The centres of the pixels that RT-DETRv2 rounds to: ⌊x · W + 0.5⌋, and none beyond the last."""
    # Numbers and no tensor of them: an exported graph has sizes that are free.
    levels = []
    for level, (height, width) in enumerate(shapes):
        places = zip(locations[:, :, :, level].unbind(-1), (width, height), strict=True)
        centres = [((x * size + 0.5).trunc().clamp(0, size - 1) + 0.5) / size for x, size in places]
        levels.append(torch.stack(centres, dim=-1))
    return torch.stack(levels, dim=3)
