"""D-FINE's decoder: RT-DETR's with a gate, and with values that no layer projects (Peng et al. 2025, 4.3)."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ..registry import MODELS
from .layers.ms_deform_attn import Shapes, Values
from .rt_detr_decoder import RTDETRDecoder, RTDETRDecoderLayer


class Gate(nn.Module):
    """How much of a query stays and how much of what it saw is taken, decided for each channel."""

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * embed_dims, 2 * embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        nn.init.zeros_(self.gate.weight)  # half of each
        nn.init.zeros_(self.gate.bias)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """Both (B, Q, C) -> (B, Q, C)."""
        kept, taken = self.gate(torch.cat((x, attended), dim=-1)).sigmoid().chunk(2, dim=-1)
        return self.norm(kept * x + taken * attended)


class DFINEDecoderLayer(RTDETRDecoderLayer):
    """RT-DETR's layer with a gate in the place of cross-attention's residual connection."""

    def _build_join(self, embed_dims: int) -> None:
        self.gateway = Gate(embed_dims)

    def _join(self, x: Tensor, attended: Tensor) -> Tensor:
        return self.gateway(x, attended)


@MODELS.register_module()
class DFINEDecoder(RTDETRDecoder):
    """See RTDETRDecoder; num_points is a list, one number a level."""

    layer: ClassVar[type[RTDETRDecoderLayer]] = DFINEDecoderLayer
    projections: ClassVar[bool] = False

    def _position(self, reference: Tensor) -> Tensor:
        return self.query_position(reference).clamp(-10, 10)

    def _values(self, memory: Tensor, shapes: Shapes, memory_mask: Tensor | None) -> Values:
        """The memory as the op takes it, made once: layers have no projection of their own."""
        first = cast(RTDETRDecoderLayer, self.layers[0])
        return first.cross_attn.values_of(memory, shapes, memory_mask)
