"""RT-DETR's efficient hybrid encoder: attention within the coarsest map, convolutions between maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.convolution import ConvNorm
from ..layers.encoder_layer import EncoderLayer
from ..layers.position_encoding import GridSineEncoding
from ..layers.rep_vgg import CSPRepLayer


@MODELS.register_module()
class HybridEncoder(nn.Module):
    """All maps at one width, each knowing of the others (Zhao et al. 2024, section 4.2).

        coarsest ─ attention ─ lateral ─┬───────────────────────────── fuse ─►
                                        └ up ┐               ┌ down ──┘
        middle ───────────────────────── fuse ─ lateral ─┬─ fuse ───────────►
                                                         └ up ┐  ┌ down ┘
        finest ─────────────────────────────────────────── fuse ─┴──────────►

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every level.
        num_heads, ffn_dims, num_layers, dropout: of the attention within the coarsest map (AIFI).
        fusion_channels, fusion_blocks: RepVGG blocks where two maps are fused, and their width.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        num_heads: int = 8,
        ffn_dims: int = 1024,
        num_layers: int = 1,
        dropout: float = 0.0,
        fusion_channels: int = 256,
        fusion_blocks: int = 3,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.fusion_channels, self.fusion_blocks = fusion_channels, fusion_blocks
        self.projections = nn.ModuleList(ConvNorm(c, out_channels) for c in in_channels)
        self.position_encoding = GridSineEncoding(out_channels // 2)
        self.encoder_layers = nn.ModuleList(
            EncoderLayer(out_channels, num_heads, ffn_dims, dropout, F.gelu) for _ in range(num_layers)
        )
        steps = range(len(in_channels) - 1)
        self.laterals = nn.ModuleList(self._lateral() for _ in steps)
        self.top_down = nn.ModuleList(self._fusion() for _ in steps)
        self.downsamples = nn.ModuleList(self._downsample() for _ in steps)
        self.bottom_up = nn.ModuleList(self._fusion() for _ in steps)

    def _lateral(self) -> nn.Module:
        return ConvNorm(self.out_channels, self.out_channels, activation=nn.SiLU)

    def _downsample(self) -> nn.Module:
        return ConvNorm(self.out_channels, self.out_channels, 3, 2, activation=nn.SiLU)

    def _fusion(self) -> nn.Module:
        return CSPRepLayer(2 * self.out_channels, self.out_channels, self.fusion_channels, self.fusion_blocks)

    @property
    def num_levels(self) -> int:
        """How many levels come out."""
        return len(self.in_channels)

    def forward(self, maps: Sequence[Tensor], padding_mask: Tensor | None = None) -> list[Tensor]:
        """Encode.

        Args:
            maps: (B, in_channels[i], H_i, W_i), finest first.
            padding_mask: (B, h, w) of the coarsest map, True on padding, which attention then leaves out.

        Returns:
            The maps with out_channels.
        """
        levels = [project(m) for project, m in zip(self.projections, maps, strict=True)]
        levels[-1] = self._attend(levels[-1], padding_mask)
        for step, (lateral, fusion) in enumerate(zip(self.laterals, self.top_down, strict=True)):
            upper, lower = len(levels) - 1 - step, len(levels) - 2 - step
            levels[upper] = lateral(levels[upper])
            # To the size of the map below, which is not always twice as large.
            up = F.interpolate(levels[upper], size=levels[lower].shape[-2:], mode="nearest")
            levels[lower] = fusion(torch.cat((up, levels[lower]), dim=1))
        for step, (downsample, fusion) in enumerate(zip(self.downsamples, self.bottom_up, strict=True)):
            levels[step + 1] = fusion(torch.cat((downsample(levels[step]), levels[step + 1]), dim=1))
        return levels

    def _attend(self, level: Tensor, padding_mask: Tensor | None) -> Tensor:
        height, width = level.shape[-2:]
        mask = padding_mask
        if mask is None:
            mask = torch.zeros(1, height, width, dtype=torch.bool, device=level.device)
        position = self.position_encoding(mask).flatten(1, 2).to(level.dtype)
        tokens = level.flatten(2).transpose(1, 2)
        for layer in self.encoder_layers:
            tokens = layer(tokens, position, None if padding_mask is None else padding_mask.flatten(1))
        return tokens.transpose(1, 2).unflatten(2, (height, width))
