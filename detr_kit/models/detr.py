"""DETR: a backbone, a projection, a transformer and two heads (Carion et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .detr_transformer import DetrTransformer
from .layers.feed_forward import MLP
from .layers.precision import at_least_float32
from .layers.resize_mask import resize_mask


@MODELS.register_module()
class DETR(nn.Module):
    """DETR with softmax classification: class `num_classes`, the last logit, is "no object".

    Args:
        backbone: images -> list of maps; the last one is used.
        neck: projects it to the transformer's width.
        position_encoding: padding mask (B, H, W) -> (B, H, W, C).
        transformer: see DetrTransformer.
        num_classes: classes without "no object".
        num_queries: objects that can be found in an image.

    Attributes:
        classification: "softmax", what the logits mean; criterion and postprocessor have to know.
    """

    classification = "softmax"

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        position_encoding: nn.Module,
        transformer: DetrTransformer,
        num_classes: int = 91,
        num_queries: int = 100,
    ) -> None:
        super().__init__()
        embed_dims = transformer.embed_dims
        self.num_classes, self.num_queries = num_classes, num_queries
        self.backbone, self.neck, self.position_encoding = backbone, neck, position_encoding
        self.transformer = transformer
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.class_head = nn.Linear(embed_dims, num_classes + 1)
        self.box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)

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
        position = self.position_encoding(mask).flatten(1, 2).to(features.dtype)
        states = self.transformer(
            features.flatten(2).transpose(1, 2),
            position,
            None if padding_mask is None else mask.flatten(1),
            self.query_embed.weight,
        )
        stacked = torch.stack(states)
        logits = at_least_float32(self.class_head(stacked)).unbind(0)
        boxes = at_least_float32(self.box_head(stacked)).sigmoid().unbind(0)
        layers = list(zip(logits, boxes, strict=True))
        return DetectorOutput(*layers[-1], auxiliary=layers[:-1], classification=self.classification)
