"""Deformable DETR with its variants: iterative box refinement and two-stage (Zhu et al. 2021)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .deformable_transformer import DeformableTransformer
from .layers.feed_forward import MLP
from .layers.precision import at_least_float32, inverse_sigmoid
from .necks.channel_mapper import ChannelMapper
from .queries.proposals import ProposalStage


@MODELS.register_module()
class DeformableDETR(nn.Module):
    """Deformable DETR with sigmoid (focal) classification.

    Args:
        backbone: images -> list of maps, finest first.
        neck: maps -> levels of the transformer's width.
        position_encoding: padding mask (B, H, W) -> (B, H, W, C).
        transformer: see DeformableTransformer.
        num_classes: classes; there is no "no object" class.
        num_queries: objects that can be found in an image.
        refine: each decoder layer refines the boxes of the one before, with heads of its own (A.4).
        two_stage: queries come from the encoder's proposals (A.4); needs `refine`.

    Attributes:
        classification: "focal", what the logits mean; criterion and postprocessor have to know.

    Raises:
        ValueError: two_stage without refine, or as many levels in the neck as not in the transformer.
    """

    classification = "focal"

    def __init__(
        self,
        backbone: nn.Module,
        neck: ChannelMapper,
        position_encoding: nn.Module,
        transformer: DeformableTransformer,
        num_classes: int = 91,
        num_queries: int = 300,
        refine: bool = False,
        two_stage: bool = False,
    ) -> None:
        super().__init__()
        if two_stage and not refine:
            raise ValueError("DeformableDETR: two_stage=True needs refine=True, as in the paper")
        if neck.num_levels != transformer.num_levels:
            raise ValueError(
                f"DeformableDETR: the neck gives {neck.num_levels} levels, the transformer takes "
                f"{transformer.num_levels}; set num_levels of both to the same number"
            )
        self.num_classes, self.num_queries = num_classes, num_queries
        self.refine, self.two_stage = refine, two_stage
        self.backbone, self.neck, self.position_encoding = backbone, neck, position_encoding
        self.transformer = transformer
        self._build_heads(transformer.embed_dims, len(transformer.decoder_layers))
        if two_stage:
            self.proposals = ProposalStage(transformer.embed_dims, num_queries)
        else:
            self.query_embed = nn.Embedding(num_queries, 2 * transformer.embed_dims)
            self.reference_points = nn.Linear(transformer.embed_dims, 2)
            nn.init.xavier_uniform_(self.reference_points.weight)
            nn.init.zeros_(self.reference_points.bias)

    def _build_heads(self, embed_dims: int, num_layers: int) -> None:
        """One head for all layers, or with refinement one a layer; two-stage adds the encoder's, last."""
        class_head = nn.Linear(embed_dims, self.num_classes)
        nn.init.constant_(class_head.bias, -math.log(99))
        box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
        nn.init.zeros_(box_head.output_layer.weight)
        nn.init.zeros_(box_head.output_layer.bias)
        count = num_layers + self.two_stage if self.refine else 1
        self.class_heads = nn.ModuleList(copy.deepcopy(class_head) for _ in range(count))
        self.box_heads = nn.ModuleList(copy.deepcopy(box_head) for _ in range(count))
        if not self.two_stage:
            first = cast(MLP, self.box_heads[0])
            nn.init.constant_(first.output_layer.bias[2:], -2.0)

    def forward(
        self,
        images: Tensor,
        padding_mask: Tensor | None = None,
        targets: Sequence[Target] | None = None,
    ) -> DetectorOutput:
        """Detect objects.

        Args:
            images: (B, 3, H, W) float, RGB, ImageNet-normalised, zero on padding.
            padding_mask: (B, H, W) bool, True on padding; None where there is none.
            targets: not read; networks that denoise do.
        """
        maps = self.neck(self.backbone(images))
        levels = self.transformer.flatten(maps, images, padding_mask, self.position_encoding)
        memory = self.transformer.encode(levels)
        encoder = None
        if self.two_stage:
            logits, boxes = self.proposals.propose(
                memory, levels.masks, self.class_heads[-1], self.box_heads[-1]
            )
            encoder = (at_least_float32(logits), boxes.sigmoid())
            query_position, target, reference = self.proposals.queries(logits, boxes, memory.dtype)
        else:
            batch_embed = self.query_embed.weight.expand(images.shape[0], -1, -1)
            query_position, target = batch_embed.chunk(2, dim=-1)
            reference = at_least_float32(self.reference_points(query_position)).sigmoid()

        layers: list[tuple[Tensor, Tensor]] = []

        def refine(index: int, state: Tensor, reference: Tensor) -> Tensor:
            layers.append(self._read_out(index, state, reference))
            return layers[-1][1].detach() if self.refine else reference

        self.transformer.decode(target, query_position, reference, memory, levels, refine)
        return DetectorOutput(*layers[-1], layers[:-1], encoder, self.classification)

    def _read_out(self, layer: int, state: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, boxes) of a decoder layer; boxes are offsets from the layer's reference."""
        head = layer if self.refine else 0
        delta = at_least_float32(self.box_heads[head](state))
        anchor = inverse_sigmoid(reference)
        if reference.shape[-1] == 2:
            anchor = F.pad(anchor, (0, 2))
        return at_least_float32(self.class_heads[head](state)), (delta + anchor).sigmoid()
