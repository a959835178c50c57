"""DAB-DETR's encoder and decoder (Liu et al. 2022, section 4)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..registry import MODELS
from .conditional_transformer import ConditionalDecoderLayer
from .layers import checkpointing as checkpointed
from .layers.encoder_layer import EncoderLayer
from .layers.feed_forward import MLP
from .layers.position_encoding import query_encoding
from .layers.precision import at_least_float32


@MODELS.register_module()
class DabTransformer(nn.Module):
    """Encoder and decoder of DAB-DETR, whose queries are boxes.

    In the encoder positions are scaled by the content of their pixel. In the decoder a layer is told where to
    look by the sine of its box, scaled by the query's content, and by how wide and how high (section 4.4):

        box (x, y, w, h) ─ sine ─┬─ all four ─ query_position ──────────────────────────────► query position
                                 └─ y, x ─ × query_scale(content) ─ × wanted size / w and h ─► where to look

    Args:
        embed_dims: width of the model.
        num_heads: attention heads.
        num_encoder_layers, num_decoder_layers: depth.
        ffn_dims: hidden width of the FFN, whose activation is a PReLU.
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
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        sizes = (embed_dims, num_heads, ffn_dims, dropout)
        self.embed_dims, self.checkpointing = embed_dims, checkpointing
        self.encoder_layers = nn.ModuleList(
            EncoderLayer(*sizes, nn.PReLU()) for _ in range(num_encoder_layers)
        )
        self.position_scale = MLP(embed_dims, embed_dims, embed_dims, num_layers=2)
        self.decoder_layers = nn.ModuleList(
            ConditionalDecoderLayer(*sizes, first=index == 0, activation=nn.PReLU())
            for index in range(num_decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(embed_dims)
        self.query_scale = MLP(embed_dims, embed_dims, embed_dims, num_layers=2)
        self.query_position = MLP(2 * embed_dims, embed_dims, embed_dims, num_layers=2)
        self.size_head = MLP(embed_dims, embed_dims, 2, num_layers=2)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def encode(self, features: Tensor, position: Tensor, padding_mask: Tensor | None) -> Tensor:
        """Encode a map.

        Args:
            features: (B, S, C) flattened map; position: (B, S, C) its encoding.
            padding_mask: (B, S) True on padding, or None where there is none.

        Returns:
            (B, S, C), the memory.
        """
        memory = features
        for layer in self.encoder_layers:
            inputs = (memory, position * self.position_scale(memory), padding_mask)
            memory = checkpointed.run(self.checkpointing, layer, *inputs)
        return memory

    def decode(
        self,
        target: Tensor,
        reference: Tensor,
        memory: Tensor,
        position: Tensor,
        padding_mask: Tensor | None,
        refine: Callable[[int, Tensor, Tensor], Tensor],
        attention_mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Decode queries.

        Args:
            target: (B, Q, C) content of the queries.
            reference: (B, Q, 4) cxcywh boxes in (0, 1).
            memory: (B, S, C) of `encode`; position, padding_mask: as there.
            refine: (layer index, layer output, reference) -> the reference of the next layer.
            attention_mask: (Q, Q) bool, True where a query must not see another, or None.

        Returns:
            (B, Q, C) after each layer, without the norm.
        """
        outputs = []
        for index, layer in enumerate(self.decoder_layers):
            encoding = query_encoding(reference, self.embed_dims // 2).to(target.dtype)
            sine = self._where_to_look(index, target, reference, encoding[..., : self.embed_dims])
            inputs = (target, self.query_position(encoding), sine, memory, position, padding_mask)
            target = checkpointed.run(self.checkpointing, layer, *inputs, attention_mask)
            outputs.append(target)
            reference = refine(index, target, reference)
        return outputs

    def _where_to_look(self, index: int, target: Tensor, reference: Tensor, sine: Tensor) -> Tensor:
        """The sine of y and x (B, Q, C), scaled by the content, and by the wanted size against the box's."""
        scale = at_least_float32(self.size_head(target)).sigmoid() / reference[..., 2:]
        # The half of y by heights, that of x by widths.
        scale = scale.flip(-1).repeat_interleave(self.embed_dims // 2, dim=-1).to(target.dtype)
        # The first layer's content says nothing yet.
        return sine * scale if index == 0 else sine * self.query_scale(target) * scale
