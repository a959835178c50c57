"""The layer of a transformer's encoder (Vaswani et al. 2017; Carion et al. 2020, figure 10)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import MultiheadAttention
from .dropout import Dropout
from .feed_forward import FeedForward


class EncoderLayer(nn.Module):
    """Self-attention with positions added to query and key, then the FFN."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        ffn_dims: int,
        dropout: float,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(embed_dims, num_heads, dropout)
        self.norm_self_attn = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, ffn_dims, dropout, activation)
        self.norm_ffn = nn.LayerNorm(embed_dims)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, padding_mask: Tensor | None) -> Tensor:
        query = x + position
        x = self.norm_self_attn(x + self.dropout(self.self_attn(query, query, x, padding_mask)))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))
