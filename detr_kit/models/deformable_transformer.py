"""Deformable DETR's encoder and decoder (Zhu et al. 2021, sections 4.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..registry import MODELS
from .layers import checkpointing as checkpointed
from .layers.attention import MultiheadAttention
from .layers.dropout import Dropout
from .layers.feed_forward import FeedForward
from .layers.ms_deform_attn import MSDeformAttn
from .layers.resize_mask import resize_mask

Shapes = Sequence[tuple[int, int]]


class Levels(NamedTuple):
    """The levels of a batch one after the other, S pixels in all.

    Attributes:
        features: (B, S, C); position: (B, S, C) their encoding, level embedding included.
        shapes: (H, W) of each level; masks: (B, H, W) of each, True on padding.
        valid_ratios: (B, L, 2) share of each level that is image, as (x, y).
        padding_mask: (B, S) True on padding, or None where the images have no mask.
    """

    features: Tensor
    position: Tensor
    shapes: Shapes
    masks: Sequence[Tensor]
    valid_ratios: Tensor
    padding_mask: Tensor | None


QueryPosition = Callable[[int, Tensor, Tensor], Tensor]
"""(layer index, layer input (B, Q, C), reference in the first level with its padding) -> (B, Q, C)."""


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention over all levels, then the FFN."""

    def __init__(
        self, embed_dims: int, num_heads: int, ffn_dims: int, dropout: float, num_levels: int, num_points: int
    ) -> None:
        super().__init__()
        self.self_attn = MSDeformAttn(embed_dims, num_heads, num_levels, num_points)
        self.norm_self_attn = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, ffn_dims, dropout)
        self.norm_ffn = nn.LayerNorm(embed_dims)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, position: Tensor, reference_points: Tensor, shapes: Shapes, mask: Tensor | None
    ) -> Tensor:
        attended = self.self_attn(x + position, reference_points, x, shapes, mask)
        x = self.norm_self_attn(x + self.dropout(attended))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))


class DeformableDecoderLayer(nn.Module):
    """Self-attention among the queries, deformable cross-attention to the memory, then the FFN."""

    def __init__(
        self, embed_dims: int, num_heads: int, ffn_dims: int, dropout: float, num_levels: int, num_points: int
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(embed_dims, num_heads, dropout)
        self.norm_self_attn = nn.LayerNorm(embed_dims)
        self.cross_attn = MSDeformAttn(embed_dims, num_heads, num_levels, num_points)
        self.norm_cross_attn = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, ffn_dims, dropout)
        self.norm_ffn = nn.LayerNorm(embed_dims)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        query_position: Tensor,
        reference_points: Tensor,
        memory: Tensor,
        shapes: Shapes,
        mask: Tensor | None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        query = x + query_position
        attended = self.self_attn(query, query, x, None, attention_mask)
        x = self.norm_self_attn(x + self.dropout(attended))
        attended = self.cross_attn(x + query_position, reference_points, memory, shapes, mask)
        x = self.norm_cross_attn(x + self.dropout(attended))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))


@MODELS.register_module()
class DeformableTransformer(nn.Module):
    """Encoder and decoder of Deformable DETR, for one level or several.

    Args:
        embed_dims: width of the model.
        num_heads: attention heads.
        num_encoder_layers, num_decoder_layers: depth.
        ffn_dims: hidden width of the FFN.
        dropout: on self-attention weights, residual branches and inside the FFN.
        num_levels: feature levels.
        num_points: sampling points a head and level.
        checkpointing: recompute each layer in the backward pass instead of keeping its activations.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        ffn_dims: int = 1024,
        dropout: float = 0.1,
        num_levels: int = 4,
        num_points: int = 4,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        sizes = (embed_dims, num_heads, ffn_dims, dropout, num_levels, num_points)
        self.embed_dims, self.num_levels = embed_dims, num_levels
        self.checkpointing = checkpointing
        self.level_embed = nn.Parameter(torch.empty(num_levels, embed_dims))
        self.encoder_layers = nn.ModuleList(DeformableEncoderLayer(*sizes) for _ in range(num_encoder_layers))
        self.decoder_layers = nn.ModuleList(DeformableDecoderLayer(*sizes) for _ in range(num_decoder_layers))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier for every matrix, the radial grid for the sampling offsets, N(0, 1) for the levels."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MSDeformAttn):
                module.reset_parameters()
        nn.init.normal_(self.level_embed)

    def flatten(
        self,
        maps: Sequence[Tensor],
        images: Tensor,
        padding_mask: Tensor | None,
        position_encoding: Callable[[Tensor], Tensor],
    ) -> Levels:
        """Put the levels one after the other.

        Args:
            maps: (B, C, H, W) of each level.
            images: (B, 3, H, W) they are of; padding_mask: (B, H, W) of these, or None.
            position_encoding: padding mask (B, H, W) of a level -> (B, H, W, C).
        """
        masks = [resize_mask(padding_mask, images, m) for m in maps]
        features = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)
        position = torch.cat(
            [
                position_encoding(mask).flatten(1, 2) + self.level_embed[level]
                for level, mask in enumerate(masks)
            ],
            dim=1,
        ).to(features.dtype)
        return Levels(
            features,
            position,
            [(m.shape[-2], m.shape[-1]) for m in maps],
            masks,
            valid_ratios_of(masks),
            None if padding_mask is None else torch.cat([m.flatten(1) for m in masks], dim=1),
        )

    def encode(self, levels: Levels) -> Tensor:
        """(B, S, C), the memory."""
        reference_points = encoder_reference_points(levels.shapes, levels.valid_ratios)
        memory = levels.features
        for layer in self.encoder_layers:
            inputs = (memory, levels.position, reference_points, levels.shapes, levels.padding_mask)
            memory = checkpointed.run(self.checkpointing, layer, *inputs)
        return memory

    def decode(
        self,
        target: Tensor,
        query_position: Tensor | QueryPosition,
        reference: Tensor,
        memory: Tensor,
        levels: Levels,
        refine: Callable[[int, Tensor, Tensor], Tensor],
        attention_mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Decode queries.

        Args:
            target: (B, Q, C) content of the queries.
            query_position: (B, Q, C), or what gives it anew in each layer.
            reference: (B, Q, 2) points or (B, Q, 4) cxcywh boxes, normalised without padding.
            memory: (B, S, C) of `encode`; levels: what it is of.
            refine: (layer index, layer output, reference) -> the reference of the next layer.
            attention_mask: (Q, Q) bool, True where a query must not see another, or None.

        Returns:
            (B, Q, C) after each layer.
        """
        outputs = []
        for index, layer in enumerate(self.decoder_layers):
            ratios = levels.valid_ratios
            ratios = ratios if reference.shape[-1] == 2 else ratios.repeat(1, 1, 2)
            points = reference[:, :, None] * ratios[:, None]
            if isinstance(query_position, Tensor):
                position = query_position
            else:
                position = query_position(index, target, points[:, :, 0])
            inputs = (target, position, points, memory, levels.shapes, levels.padding_mask, attention_mask)
            target = checkpointed.run(self.checkpointing, layer, *inputs)
            outputs.append(target)
            reference = refine(index, target, reference)
        return outputs


def encoder_reference_points(shapes: Shapes, valid_ratios: Tensor) -> Tensor:
    """Each pixel's centre, seen from every level -> (B, S, L, 2) as (x, y) of the padded maps."""
    points = []
    for level, (height, width) in enumerate(shapes):
        centre_y = torch.arange(height, dtype=valid_ratios.dtype, device=valid_ratios.device) + 0.5
        centre_x = torch.arange(width, dtype=valid_ratios.dtype, device=valid_ratios.device) + 0.5
        x = centre_x[None] / (valid_ratios[:, level, 0, None] * width)
        y = centre_y[None] / (valid_ratios[:, level, 1, None] * height)
        x, y = torch.broadcast_tensors(x[:, None, :], y[:, :, None])
        points.append(torch.stack((x, y), dim=-1).flatten(1, 2))
    return torch.cat(points, dim=1)[:, :, None] * valid_ratios[:, None]


def valid_ratios_of(masks: Sequence[Tensor]) -> Tensor:
    """Share of each level that is image: masks (B, H, W) True on padding -> (B, L, 2) as (x, y)."""
    ratios = []
    for mask in masks:
        height, width = mask.shape[1:]
        ratios.append(torch.stack(((~mask[:, 0, :]).sum(1) / width, (~mask[:, :, 0]).sum(1) / height), -1))
    return torch.stack(ratios, dim=1)
