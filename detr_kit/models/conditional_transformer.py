"""Conditional DETR's encoder and decoder (Meng et al. 2021, section 3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import MODELS
from .layers import checkpointing as checkpointed
from .layers.conditional_attention import ConditionalCrossAttention, ConditionalSelfAttention
from .layers.dropout import Dropout
from .layers.encoder_layer import EncoderLayer
from .layers.feed_forward import MLP, FeedForward
from .layers.position_encoding import query_encoding


class ConditionalDecoderLayer(nn.Module):
    """Self-attention among the queries, conditional cross-attention to the memory, then the FFN.

    Args:
        embed_dims, num_heads, ffn_dims, dropout: see ConditionalTransformer.
        first: the first layer of its decoder.
        activation: of the FFN.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        ffn_dims: int,
        dropout: float,
        *,
        first: bool,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.self_attn = ConditionalSelfAttention(embed_dims, num_heads, dropout)
        self.norm_self_attn = nn.LayerNorm(embed_dims)
        self.cross_attn = ConditionalCrossAttention(embed_dims, num_heads, dropout, adds_position=first)
        self.norm_cross_attn = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, ffn_dims, dropout, activation)
        self.norm_ffn = nn.LayerNorm(embed_dims)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        query_position: Tensor,
        query_sine: Tensor,
        memory: Tensor,
        position: Tensor,
        padding_mask: Tensor | None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        x = self.norm_self_attn(x + self.dropout(self.self_attn(x, query_position, attention_mask)))
        attended = self.cross_attn(x, query_position, query_sine, memory, position, padding_mask)
        x = self.norm_cross_attn(x + self.dropout(attended))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))


@MODELS.register_module()
class ConditionalTransformer(nn.Module):
    """DETR's encoder, and a decoder whose cross-attention is told where to look.

    Args:
        embed_dims: width of the model.
        num_heads: attention heads.
        num_encoder_layers, num_decoder_layers: depth.
        ffn_dims: hidden width of the FFN.
        dropout: on attention weights, residual branches and inside the FFN.
        checkpointing: recompute each layer in the backward pass instead of keeping its activations.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        ffn_dims: int = 2048,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        sizes = (embed_dims, num_heads, ffn_dims, dropout)
        self.embed_dims, self.checkpointing = embed_dims, checkpointing
        self.encoder_layers = nn.ModuleList(EncoderLayer(*sizes) for _ in range(num_encoder_layers))
        self.decoder_layers = nn.ModuleList(
            ConditionalDecoderLayer(*sizes, first=index == 0) for index in range(num_decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(embed_dims)
        self.query_scale = MLP(embed_dims, embed_dims, embed_dims, num_layers=2)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        features: Tensor,
        position: Tensor,
        padding_mask: Tensor | None,
        query_position: Tensor,
        reference: Tensor,
    ) -> list[Tensor]:
        """Encode a map and decode queries from it.

        Args:
            features: (B, S, C) flattened map; position: (B, S, C) its encoding.
            padding_mask: (B, S) True on padding, or None where there is none.
            query_position: (B, Q, C); the target itself starts at zero.
            reference: (B, Q, 2) normalised points, the same in all layers.

        Returns:
            (B, Q, C) after each decoder layer, all through the shared LayerNorm.
        """
        memory = features
        for encoder_layer in self.encoder_layers:
            memory = checkpointed.run(self.checkpointing, encoder_layer, memory, position, padding_mask)
        encoding = query_encoding(reference, self.embed_dims // 2).to(features.dtype)
        x = torch.zeros_like(query_position)
        outputs = []
        for index, layer in enumerate(self.decoder_layers):
            # The first layer's content says nothing yet.
            sine = encoding if index == 0 else encoding * self.query_scale(x)
            inputs = (x, query_position, sine, memory, position, padding_mask)
            x = checkpointed.run(self.checkpointing, layer, *inputs)
            outputs.append(self.decoder_norm(x))
        return outputs
