"""Conditional DETR: DETR whose queries are told where to look (Meng et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .conditional_transformer import ConditionalTransformer
from .layers.feed_forward import MLP
from .layers.precision import at_least_float32, inverse_sigmoid
from .layers.resize_mask import resize_mask


@MODELS.register_module()
class ConditionalDETR(nn.Module):
    """Conditional DETR with sigmoid (focal) classification.

    Args:
        backbone: images -> list of maps; the last one is used.
        neck: projects it to the transformer's width.
        position_encoding: padding mask (B, H, W) -> (B, H, W, C).
        transformer: see ConditionalTransformer.
        num_classes: classes; there is no "no object" class.
        num_queries: objects that can be found in an image.

    Attributes:
        classification: "focal", what the logits mean; criterion and postprocessor have to know.
    """

    classification = "focal"

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        position_encoding: nn.Module,
        transformer: ConditionalTransformer,
        *,
        num_classes: int = 91,
        num_queries: int = 300,
    ) -> None:
        super().__init__()
        embed_dims = transformer.embed_dims
        self.num_classes, self.num_queries = num_classes, num_queries
        self.backbone, self.neck, self.position_encoding = backbone, neck, position_encoding
        self.transformer = transformer
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.reference_points = MLP(embed_dims, embed_dims, 2, num_layers=2)
        self.class_head = nn.Linear(embed_dims, num_classes)
        self.box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
        for parameter in self.reference_points.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.constant_(self.class_head.bias, -math.log(99))
        nn.init.zeros_(self.box_head.output_layer.weight)
        nn.init.zeros_(self.box_head.output_layer.bias)

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
        (features,) = self.neck(self.backbone(images)[-1:])
        mask = resize_mask(padding_mask, images, features)
        query_position = self.query_embed.weight.expand(images.shape[0], -1, -1)
        reference = at_least_float32(self.reference_points(query_position)).sigmoid()
        states = self.transformer(
            features.flatten(2).transpose(1, 2),
            self.position_encoding(mask).flatten(1, 2).to(features.dtype),
            None if padding_mask is None else mask.flatten(1),
            query_position,
            reference,
        )
        stacked = torch.stack(states)
        logits = at_least_float32(self.class_head(stacked)).unbind(0)
        # Boxes are offsets from the reference in their centres alone.
        anchor = F.pad(inverse_sigmoid(reference), (0, 2))
        boxes = (at_least_float32(self.box_head(stacked)) + anchor).sigmoid().unbind(0)
        layers = list(zip(logits, boxes, strict=True))
        return DetectorOutput(*layers[-1], auxiliary=layers[:-1], classification=self.classification)
