"""Attention that keeps what a query looks for apart from where it looks (Meng et al. 2021, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import attend


def _linears(embed_dims: int, count: int) -> list[nn.Linear]:
    projections = [nn.Linear(embed_dims, embed_dims) for _ in range(count)]
    for projection in projections:
        nn.init.xavier_uniform_(projection.weight)
    return projections


class ConditionalSelfAttention(nn.Module):
    """Self-attention whose content and position have projections of their own, and are added.

    Args:
        embed_dims: channels of the queries.
        num_heads: heads; they share the channels.
        dropout: on the attention weights, while training.
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims={embed_dims} is not a multiple of num_heads={num_heads}")
        self.num_heads, self.dropout = num_heads, dropout
        self.query_content, self.query_position, self.key_content, self.key_position = _linears(embed_dims, 4)
        self.value, self.out_proj = _linears(embed_dims, 2)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, position: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """x and position (B, Q, C), mask (Q, Q) True where a query must not see another -> (B, Q, C)."""
        q = self.query_content(x) + self.query_position(position)
        k = self.key_content(x) + self.key_position(position)
        q, k, v = (_heads(t, self.num_heads) for t in (q, k, self.value(x)))
        mask = None if attention_mask is None else ~attention_mask
        attended = attend(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.out_proj(attended.transpose(1, 2).flatten(-2))


class ConditionalCrossAttention(nn.Module):
    """Cross-attention with twice as wide queries and keys: half of each head is content, half position.

        query:  [ content | sine of the reference, scaled by the content ]
        key:    [ content | position of the pixel                        ]

    Args:
        embed_dims: channels of query, key and value.
        num_heads: heads; they share the channels.
        dropout: on the attention weights, while training.
        adds_position: also add the positions to the contents, as the first layer of a decoder does.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, dropout: float = 0.0, *, adds_position: bool = False
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims={embed_dims} is not a multiple of num_heads={num_heads}")
        self.num_heads, self.dropout, self.adds_position = num_heads, dropout, adds_position
        self.query_content, self.query_sine, self.key_content, self.key_position = _linears(embed_dims, 4)
        self.value, self.out_proj = _linears(embed_dims, 2)
        nn.init.zeros_(self.out_proj.bias)
        if adds_position:
            (self.query_position,) = _linears(embed_dims, 1)

    def forward(
        self,
        x: Tensor,
        query_position: Tensor,
        query_sine: Tensor,
        memory: Tensor,
        position: Tensor,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: (B, Q, C) content of the queries; query_position, query_sine: (B, Q, C).
            memory: (B, S, C); position: (B, S, C) of its pixels.
            key_padding_mask: (B, S) True on padding, or None.

        Returns:
            (B, Q, C).
        """
        q, k = self.queries_and_keys(x, query_position, query_sine, memory, position)
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        v = _heads(self.value(memory), self.num_heads)
        attended = attend(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.out_proj(attended.transpose(1, 2).flatten(-2))

    def queries_and_keys(
        self,
        x: Tensor,
        query_position: Tensor,
        query_sine: Tensor,
        memory: Tensor,
        position: Tensor,
        *_: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """(B, heads, Q, 2 C / heads) and (B, heads, S, 2 C / heads), whose products attention is made of."""
        q, k, key_position = self.query_content(x), self.key_content(memory), self.key_position(position)
        if self.adds_position:
            q, k = q + self.query_position(query_position), k + key_position
        halves = (q, self.query_sine(query_sine)), (k, key_position)
        queries, keys = (torch.cat([_heads(t, self.num_heads) for t in pair], dim=-1) for pair in halves)
        return queries, keys


def _heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, Q, C) -> (B, heads, Q, C / heads)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)
