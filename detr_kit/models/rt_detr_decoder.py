"""RT-DETR's decoder: Deformable DETR's layers, with positions made from boxes alone (Zhao et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from ..registry import MODELS
from .layers import checkpointing as checkpointed
from .layers.attention import MultiheadAttention
from .layers.dropout import Dropout
from .layers.feed_forward import MLP, FeedForward
from .layers.ms_deform_attn import MSDeformAttn, Shapes, Values

# float16's largest number: what is beyond would be infinite in mixed precision.
_LARGEST = 65504.0


class RTDETRDecoderLayer(nn.Module):
    """Self-attention among the queries, deformable cross-attention to the memory, then the FFN."""

    def __init__(
        self, embed_dims: int, num_heads: int, ffn_dims: int, dropout: float, cross_attn: MSDeformAttn
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(embed_dims, num_heads, dropout)
        self.norm_self_attn = nn.LayerNorm(embed_dims)
        self.cross_attn = cross_attn
        self.ffn = FeedForward(embed_dims, ffn_dims, dropout)
        self.norm_ffn = nn.LayerNorm(embed_dims)
        self.dropout = Dropout(dropout)
        self._build_join(embed_dims)

    def _build_join(self, embed_dims: int) -> None:
        """What `_join` needs."""
        self.norm_cross_attn = nn.LayerNorm(embed_dims)

    def _join(self, x: Tensor, attended: Tensor) -> Tensor:
        """A query and what it saw in the memory, both (B, Q, C) -> (B, Q, C)."""
        return self.norm_cross_attn(x + attended)

    def forward(
        self,
        x: Tensor,
        query_position: Tensor,
        reference_points: Tensor,
        memory: Tensor | Values,
        shapes: Shapes,
        memory_mask: Tensor | None,
        attention_mask: Tensor | None,
    ) -> Tensor:
        query = x + query_position
        attended = self.self_attn(query, query, x, attention_mask=attention_mask)
        x = self.norm_self_attn(x + self.dropout(attended))
        attended = self.cross_attn(x + query_position, reference_points, memory, shapes, memory_mask)
        x = self._join(x, self.dropout(attended))
        return self.norm_ffn((x + self.dropout(self.ffn(x))).clamp(-_LARGEST, _LARGEST))


@MODELS.register_module()
class RTDETRDecoder(nn.Module):
    """The decoder's layers, and the MLP that turns a box into the position of its query.

    Args:
        embed_dims: width of the model.
        num_heads, ffn_dims, dropout: of every layer.
        num_layers: depth.
        num_eval_layers: layers to run in evaluation; all where it is None.
        num_levels: feature levels.
        num_points, method: of deformable attention, see MSDeformAttn; a list of numbers is RT-DETRv2's.
        checkpointing: recompute each layer in the backward pass instead of keeping its activations.

    Raises:
        ValueError: more layers in evaluation than there are.
    """

    layer: ClassVar[type[RTDETRDecoderLayer]] = RTDETRDecoderLayer
    projections: ClassVar[bool] = True

    def __init__(
        self,
        *,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_layers: int = 6,
        num_eval_layers: int | None = None,
        ffn_dims: int = 1024,
        dropout: float = 0.0,
        num_levels: int = 3,
        num_points: int | Sequence[int] = 4,
        method: str = "bilinear",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if num_eval_layers is not None and not 1 <= num_eval_layers <= num_layers:
            raise ValueError(
                f"{type(self).__name__}: num_eval_layers={num_eval_layers} of num_layers={num_layers}"
            )
        self.embed_dims, self.num_levels, self.checkpointing = embed_dims, num_levels, checkpointing
        self.num_eval_layers = num_eval_layers or num_layers
        self.query_position = MLP(4, 2 * embed_dims, embed_dims, num_layers=2)
        for linear in self.query_position.layers:
            nn.init.xavier_uniform_(linear.weight)  # type: ignore[arg-type]
        attention = (embed_dims, num_heads, num_levels, num_points)
        self.layers = nn.ModuleList(
            self.layer(
                embed_dims,
                num_heads,
                ffn_dims,
                dropout,
                MSDeformAttn(*attention, method=method, projections=self.projections),
            )
            for _ in range(num_layers)
        )

    def forward(
        self,
        content: Tensor,
        reference: Tensor,
        memory: Tensor,
        shapes: Shapes,
        *,
        valid_ratios: Tensor | None,
        memory_mask: Tensor | None,
        attention_mask: Tensor | None,
        refine: Callable[[int, Tensor], Tensor],
    ) -> None:
        """Decode queries.

        Args:
            content: (B, Q, C); reference: (B, Q, 4) cxcywh, normalised without padding.
            memory: (B, S, C); shapes: (H, W) of each level; memory_mask: (B, S) True on padding, or None.
            valid_ratios: (B, L, 2) share of each level that is image, as (x, y); None for all of it.
            attention_mask: (Q, Q) bool, True where a query must not see another, or None.
            refine: (layer index, layer output) -> the reference of the next layer.
        """
        values = self._values(memory, shapes, memory_mask)
        layers = self.layers if self.training else self.layers[: self.num_eval_layers]
        for index, layer in enumerate(layers):
            position = self._position(reference.to(content.dtype))
            points = reference_points(reference, valid_ratios, self.num_levels)
            inputs = (content, position, points, values, shapes, memory_mask, attention_mask)
            content = checkpointed.run(self.checkpointing, layer, *inputs)
            reference = refine(index, content)

    def _position(self, reference: Tensor) -> Tensor:
        """reference (B, Q, 4) -> (B, Q, C)."""
        return self.query_position(reference)

    def _values(self, memory: Tensor, shapes: Shapes, memory_mask: Tensor | None) -> Tensor | Values:
        """What every layer's cross-attention is given: here the memory, which each projects itself."""
        return memory


def reference_points(reference: Tensor, valid_ratios: Tensor | None, num_levels: int) -> Tensor:
    """(B, Q, 4) of the images without padding -> (B, Q, L, 4) of the padded maps."""
    if valid_ratios is None:
        return reference[:, :, None].expand(-1, -1, num_levels, -1)
    return reference[:, :, None] * valid_ratios.repeat(1, 1, 2)[:, None]
