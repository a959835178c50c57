"""DETR's transformer: global attention over one feature map, post-norm (Carion et al. 2020, figure 10)."""

from __future__ import annotations

from torch import Tensor, nn

from ..registry import MODELS
from .layers import checkpointing as checkpointed
from .layers.attention import MultiheadAttention
from .layers.dropout import Dropout
from .layers.encoder_layer import EncoderLayer
from .layers.feed_forward import FeedForward


class DetrDecoderLayer(nn.Module):
    """Self-attention among the queries, cross-attention to the memory, then the FFN."""

    def __init__(self, embed_dims: int, num_heads: int, ffn_dims: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(embed_dims, num_heads, dropout)
        self.norm_self_attn = nn.LayerNorm(embed_dims)
        self.cross_attn = MultiheadAttention(embed_dims, num_heads, dropout)
        self.norm_cross_attn = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, ffn_dims, dropout)
        self.norm_ffn = nn.LayerNorm(embed_dims)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        query_position: Tensor,
        memory: Tensor,
        memory_key: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        query = x + query_position
        x = self.norm_self_attn(x + self.dropout(self.self_attn(query, query, x)))
        attended = self.cross_attn(x + query_position, memory_key, memory, mask)
        x = self.norm_cross_attn(x + self.dropout(attended))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))


@MODELS.register_module()
class DetrTransformer(nn.Module):
    """Encoder and decoder of DETR.

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
        self.decoder_layers = nn.ModuleList(DetrDecoderLayer(*sizes) for _ in range(num_decoder_layers))
        self.decoder_norm = nn.LayerNorm(embed_dims)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, features: Tensor, position: Tensor, padding_mask: Tensor | None, query_embed: Tensor
    ) -> list[Tensor]:
        """Encode a map and decode queries from it.

        Args:
            features: (B, S, C) flattened map; position: (B, S, C) its encoding.
            padding_mask: (B, S) True on padding, or None where there is none.
            query_embed: (Q, C), added to queries and keys; the target itself starts at zero.

        Returns:
            (B, Q, C) after each decoder layer, all through the shared LayerNorm.
        """
        memory = features
        for encoder_layer in self.encoder_layers:
            memory = checkpointed.run(self.checkpointing, encoder_layer, memory, position, padding_mask)
        memory_key = memory + position
        query_position = query_embed.expand(features.shape[0], -1, -1)
        x = query_position.new_zeros(query_position.shape)
        outputs = []
        for decoder_layer in self.decoder_layers:
            x = checkpointed.run(
                self.checkpointing, decoder_layer, x, query_position, memory, memory_key, padding_mask
            )
            outputs.append(self.decoder_norm(x))
        return outputs
