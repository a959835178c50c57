"""Multi-head attention through torch's scaled_dot_product_attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import dropout


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float) -> Tensor:
    """softmax(q kᵀ / √c) v, a share of the softmax dropped.

    Args:
        q: (B, heads, Q, c); k: (B, heads, K, c); v: (B, heads, K, d).
        mask: broadcasts to (B, heads, Q, K), False where a query must not see a key, or None.

    Returns:
        (B, heads, Q, d).
    """
    if dropout_p == 0 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
    # What PyTorch does on a CPU too where there is dropout, but for the price of its masks.
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    return dropout(logits.softmax(-1), dropout_p) @ v


class MultiheadAttention(nn.Module):
    """Batch-first attention with nn.MultiheadAttention's parameters (Vaswani et al. 2017).

    Args:
        embed_dims: channels of query, key and value.
        num_heads: heads; they share the channels.
        dropout: on the attention weights, while training.
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims={embed_dims} is not a multiple of num_heads={num_heads}")
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: (B, Q, C); key, value: (B, K, C).
            key_padding_mask: (B, K) bool, True on padding, or None.
            attention_mask: (Q, K) bool, True where a query must not see a key, or None.

        Returns:
            (B, Q, C).
        """
        if query is key:
            q, k = self._project(query, 0, 2).chunk(2, dim=-1)
        else:
            q, k = self._project(query, 0, 1), self._project(key, 1, 2)
        v = self._project(value, 2, 3)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v))
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]
        if attention_mask is not None:
            mask = ~attention_mask if mask is None else mask & ~attention_mask
        attended = attend(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.out_proj(attended.transpose(1, 2).flatten(-2))

    def queries_and_keys(self, query: Tensor, key: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, heads, Q, C / heads) and (B, heads, K, C / heads), whose products attention is made of."""
        pair = self._project(query, 0, 1), self._project(key, 1, 2)
        q, k = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in pair)
        return q, k

    def _project(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Project with the parts start … stop of the packed query, key and value matrices."""
        width = len(self.in_proj_bias) // 3
        rows = slice(start * width, stop * width)
        return F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
