"""D-FINE: RT-DETR whose boxes are distributions that each layer refines (Peng et al. 2025)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..registry import MODELS
from .d_fine_decoder import DFINEDecoder
from .layers.convolution import ConvNorm
from .layers.distribution import bin_distances, mean_distances, move_edges
from .layers.feed_forward import MLP
from .layers.precision import at_least_float32, inverse_sigmoid
from .necks.hybrid_encoder import HybridEncoder
from .queries.contrastive_denoising import ContrastiveDenoising
from .rt_detr import RTDETR, Decoded


class QualityHead(nn.Module):
    """Corrects a query's scores by how sure the edges of its box are (LQE, section 4.3)."""

    NUM_TOP = 4

    def __init__(self, num_bins: int, hidden_dims: int = 64) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.mlp = MLP(4 * (self.NUM_TOP + 1), hidden_dims, 1, num_layers=2)
        nn.init.zeros_(self.mlp.output_layer.weight)
        nn.init.zeros_(self.mlp.output_layer.bias)

    def forward(self, edges: Tensor) -> Tensor:
        """edges (B, Q, 4 · (num_bins + 1)) -> (B, Q, 1), to be added to the logits of every class."""
        top = edges.unflatten(-1, (4, self.num_bins + 1)).softmax(-1).topk(self.NUM_TOP, dim=-1).values
        return self.mlp(torch.cat((top, top.mean(-1, keepdim=True)), dim=-1).flatten(-2))


@MODELS.register_module()
class DFINE(RTDETR):
    """D-FINE with sigmoid classification.

        layer 0 ─ first box (cx, cy, w, h) ─── fixed from here on
              └── edges₀ ── + edges₁ ── + edges₂ … of the layers; a box is the first one with its edges moved
                            by the mean of their distributions

    Args:
        backbone, neck, decoder, num_classes, num_queries, denoising, pixel_scale: see RTDETR.
        num_bins: N: an edge is a softmax over N + 1 distances.
        up, scale: a and c of the distances, see `bin_distances`; kept with the weights.
    """

    criterion: ClassVar[dict[str, Any]] = {
        **RTDETR.criterion,
        "union": True,
        "further": [{"type": "FineGrainedLoss"}],
    }

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: HybridEncoder,
        decoder: DFINEDecoder,
        num_classes: int = 80,
        num_queries: int = 300,
        denoising: ContrastiveDenoising | None = None,
        pixel_scale: str = "unit",
        num_bins: int = 32,
        up: float = 0.5,
        scale: float = 4.0,
    ) -> None:
        self.num_bins = num_bins
        super().__init__(
            backbone=backbone,
            neck=neck,
            decoder=decoder,
            num_classes=num_classes,
            num_queries=num_queries,
            denoising=denoising,
            pixel_scale=pixel_scale,
        )
        self.up = nn.Parameter(torch.tensor([up]), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor([scale]), requires_grad=False)

    def _projection(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Identity() if in_channels == out_channels else ConvNorm(in_channels, out_channels)

    def _build_heads(self, embed_dims: int, num_layers: int) -> None:
        """The first box, and for each layer a class head, the edges of boxes and their quality."""
        class_head = nn.Linear(embed_dims, self.num_classes)
        nn.init.constant_(class_head.bias, -math.log(99))
        self.first_box_head = _zero_at_first(MLP(embed_dims, embed_dims, 4, num_layers=3))
        edges = _zero_at_first(MLP(embed_dims, embed_dims, 4 * (self.num_bins + 1), num_layers=3))
        self.class_heads = nn.ModuleList(copy.deepcopy(class_head) for _ in range(num_layers))
        self.box_heads = nn.ModuleList(copy.deepcopy(edges) for _ in range(num_layers))
        self.quality_heads = nn.ModuleList(QualityHead(self.num_bins) for _ in range(num_layers))

    def _decode(
        self,
        content: Tensor,
        reference: Tensor,
        memory: Tensor,
        shapes: Sequence[tuple[int, int]],
        **context: Tensor | None,
    ) -> Decoded:
        """See RTDETR. Extras: edges (N, B, Q, 4 · (num_bins + 1)) logits, first_boxes, distances, scale."""
        distances = bin_distances(self.num_bins, self.up, self.scale)
        layers: list[tuple[Tensor, Tensor]] = []
        initial: list[tuple[Tensor, Tensor]] = []
        all_edges: list[Tensor] = []
        before: Tensor | None = None

        def refine(index: int, state: Tensor) -> Tensor:
            nonlocal before
            logits = at_least_float32(self.class_heads[index](state))
            if index == 0:
                delta = at_least_float32(self.first_box_head(state))
                initial.append((logits, (delta + inverse_sigmoid(reference)).sigmoid()))
            edges = at_least_float32(self.box_heads[index](state if before is None else state + before))
            if all_edges:
                edges = edges + all_edges[-1]
            all_edges.append(edges)
            boxes = move_edges(initial[0][1].detach(), mean_distances(edges, distances), self.scale)
            quality = at_least_float32(self.quality_heads[index](edges.to(state.dtype)))
            layers.append((logits + quality, boxes))
            before = state.detach()
            return boxes.detach()

        self.decoder(content, reference, memory, shapes, refine=refine, **context)
        extras = {
            "edges": torch.stack(all_edges),
            "first_boxes": initial[0][1].detach()[None],
            "distances": distances[None, None, None],
            "scale": self.scale[None, None, None],
        }
        return Decoded(layers, initial[0], extras)


def _zero_at_first(mlp: MLP) -> MLP:
    nn.init.zeros_(mlp.output_layer.weight)
    nn.init.zeros_(mlp.output_layer.bias)
    return mlp
