"""Where a feature stands in its image: sine and learned encodings of a padded map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...registry import MODELS


@MODELS.register_module()
class SinePositionEncoding(nn.Module):
    """Two-dimensional sine encoding over the part of each map that is not padding.

    Source: Carion et al. 2020, appendix A.4; the half-pixel shift is Deformable DETR's.

    Args:
        num_feats: channels for each of y and x; the encoding has twice as many.
        temperature: base of the wavelengths.
        offset: added to the 1-based pixel index: 0 for DETR, -0.5 (pixel centres) for Deformable DETR.
    """

    def __init__(self, num_feats: int = 128, temperature: float = 10000.0, offset: float = 0.0) -> None:
        super().__init__()
        self.num_feats, self.temperature, self.offset = num_feats, temperature, offset

    def forward(self, padding_mask: Tensor) -> Tensor:
        """padding_mask (B, H, W) bool, True on padding -> (B, H, W, 2 · num_feats) float32, y before x."""
        valid = ~padding_mask
        axes = []
        for dim in (1, 2):
            index = valid.cumsum(dim, dtype=torch.float32)
            last = index.narrow(dim, index.shape[dim] - 1, 1)
            normalised = (index + self.offset) / (last + 1e-6) * (2 * math.pi)
            axes.append(sine_encoding(normalised, self.num_feats, self.temperature))
        return torch.cat(axes, dim=-1)


@MODELS.register_module()
class GridSineEncoding(nn.Module):
    """Two-dimensional sine encoding of pixel numbers, whatever the size of the map (RT-DETR's code).

    The original lays its table out with x outside, its tokens with y outside: the same on the square maps
    that it was made for, and here y is always what changes slowly.

    Args:
        num_feats: channels for each of y and x: sines, then cosines; the encoding has twice as many.
        temperature: base of the wavelengths.
    """

    def __init__(self, num_feats: int = 128, temperature: float = 10000.0) -> None:
        super().__init__()
        self.num_feats, self.temperature = num_feats, temperature

    def forward(self, padding_mask: Tensor) -> Tensor:
        """padding_mask (B, H, W), of which only the size is read -> (1, H, W, 2 · num_feats), y before x."""
        _, height, width = padding_mask.shape
        half = self.num_feats // 2
        channel = torch.arange(half, dtype=torch.float64, device=padding_mask.device)
        frequency = self.temperature ** (-channel / half)
        axes = []
        for length in (height, width):
            angle = torch.arange(length, device=frequency.device)[:, None] * frequency
            axes.append(torch.cat((angle.sin(), angle.cos()), dim=-1).float())
        y, x = axes[0][:, None].expand(-1, width, -1), axes[1][None].expand(height, -1, -1)
        return torch.cat((y, x), dim=-1)[None]


def sine_encoding(positions: Tensor, num_feats: int, temperature: float = 10000.0) -> Tensor:
    """(…) -> (…, num_feats): sines at even channels, cosines at odd ones, of growing wavelength."""
    channel = torch.arange(num_feats, dtype=torch.float32, device=positions.device)
    wavelength = temperature ** (2 * torch.div(channel, 2, rounding_mode="floor") / num_feats)
    angle = positions[..., None] / wavelength
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1).flatten(-2)


def query_encoding(reference: Tensor, num_feats: int) -> Tensor:
    """Sine encoding of where queries are, as DAB-DETR and what grew from it have it (Liu et al. 2022, 4.2).

    Args:
        reference: (…, 2) points or (…, 4) cxcywh boxes in [0, 1].
        num_feats: channels for each number.

    Returns:
        (…, 2 or 4 · num_feats): y before x, then width and height.
    """
    first, *others = reference.unbind(-1)
    encoded = [sine_encoding(part * (2 * math.pi), num_feats) for part in (others[0], first, *others[1:])]
    return torch.cat(encoded, dim=-1)


@MODELS.register_module()
class LearnedPositionEncoding(nn.Module):
    """One learned vector a row and one a column (Carion et al. 2020, table 3).

    Args:
        num_feats: channels for each of x and y; the encoding has twice as many.
        num_positions: rows and columns that can be told apart.
    """

    def __init__(self, num_feats: int = 128, num_positions: int = 50) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(num_positions, num_feats)
        self.col_embed = nn.Embedding(num_positions, num_feats)
        nn.init.uniform_(self.row_embed.weight)
        nn.init.uniform_(self.col_embed.weight)

    def forward(self, padding_mask: Tensor) -> Tensor:
        """padding_mask (B, H, W) -> (B, H, W, 2 · num_feats), x before y.

        Raises:
            ValueError: the map is larger than num_positions.
        """
        batch, height, width = padding_mask.shape
        limit = self.row_embed.num_embeddings
        if max(height, width) > limit:
            raise ValueError(
                f"a map of {height} × {width} against num_positions={limit} of LearnedPositionEncoding; "
                "raise num_positions or feed smaller images"
            )
        rows = self.row_embed.weight[:height, None].expand(-1, width, -1)
        cols = self.col_embed.weight[None, :width].expand(height, -1, -1)
        return torch.cat((cols, rows), dim=-1).expand(batch, -1, -1, -1)
