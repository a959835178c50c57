"""DAB-DETR, whose queries are boxes (Liu et al. 2022), and DN-DETR, which denoises them (Li et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .dab_detr_transformer import DabTransformer
from .layers.feed_forward import MLP
from .layers.precision import at_least_float32, inverse_sigmoid
from .layers.resize_mask import resize_mask
from .queries.denoising import Denoising
from .queries.label_queries import LabelQueries

_EPS = 1e-3  # of the inverse sigmoid; other DETRs have 1e-5


@MODELS.register_module()
class DabDETR(nn.Module):
    """DAB-DETR with sigmoid (focal) classification; with `denoising` DN-DETR.

    A layer's box is an offset from the box before it, whose gradient is kept for this one step; it is read
    from the normalised state, the reference of the next layer from the state as it is.

    Args:
        backbone: images -> list of maps; the last one is used.
        neck: projects it to the transformer's width.
        position_encoding: padding mask (B, H, W) -> (B, H, W, C).
        transformer: see DabTransformer.
        num_classes: classes; there is no "no object" class.
        num_queries: boxes that queries start from.
        num_patterns: contents that every box is asked with, of which each finds an object; 0 for one that is
            zero, or with denoising that of an unknown class.
        denoising: what makes further queries from the targets in training, or None. With it a query's content
            is the embedding of a class and a channel that tells denoising queries from others.

    Attributes:
        classification: "focal", what the logits mean; criterion and postprocessor have to know.
        criterion: what its loss has of its own, see `criterion_for`.

    Raises:
        InputError: patterns and denoising.
    """

    classification = "focal"
    criterion: ClassVar[dict[str, Any]] = {"weight_class": 1.0}

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        position_encoding: nn.Module,
        transformer: DabTransformer,
        *,
        num_classes: int = 91,
        num_queries: int = 300,
        num_patterns: int = 0,
        denoising: Denoising | None = None,
    ) -> None:
        super().__init__()
        if num_patterns and denoising is not None:
            raise InputError(
                f"DabDETR: num_patterns={num_patterns} and denoising; with it contents are classes, set "
                "num_patterns=0 or denoising=None"
            )
        embed_dims = transformer.embed_dims
        self.num_classes, self.num_queries, self.num_patterns = num_classes, num_queries, num_patterns
        self.denoising = denoising
        self.backbone, self.neck, self.position_encoding = backbone, neck, position_encoding
        self.transformer = transformer
        self.reference_embed = nn.Embedding(num_queries, 4)  # before the sigmoid
        if num_patterns:
            self.pattern_embed = nn.Embedding(num_patterns, embed_dims)
        if denoising is not None:
            self.label_queries = LabelQueries(num_classes, embed_dims)
        self.class_head = nn.Linear(embed_dims, num_classes)
        self.box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
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
            targets: one an image; read in training only, for denoising.
        """
        (features,) = self.neck(self.backbone(images)[-1:])
        mask = resize_mask(padding_mask, images, features)
        position = self.position_encoding(mask).flatten(1, 2).to(features.dtype)
        flat_mask = None if padding_mask is None else mask.flatten(1)
        memory = self.transformer.encode(features.flatten(2).transpose(1, 2), position, flat_mask)

        content, reference = self._queries(images.shape[0])
        attention_mask = None
        noisy = None
        if self.denoising is not None and self.training:
            noisy = self.denoising.of_batch(
                images, targets, num_queries=reference.shape[1], num_classes=self.num_classes
            )
            attention_mask = noisy.attention_mask
            content = torch.cat((self.label_queries.noisy(noisy), content), dim=1)
            reference = torch.cat((inverse_sigmoid(noisy.boxes, _EPS).sigmoid(), reference), dim=1)

        layers: list[tuple[Tensor, Tensor]] = []
        box_before = reference

        def refine(index: int, state: Tensor, reference: Tensor) -> Tensor:
            nonlocal box_before
            normed = self.transformer.decoder_norm(state)
            layers.append((at_least_float32(self.class_head(normed)), self._moved(normed, box_before)))
            if index + 1 == len(self.transformer.decoder_layers):
                return reference
            box_before = self._moved(state, reference)
            return box_before.detach()

        self.transformer.decode(content, reference, memory, position, flat_mask, refine, attention_mask)
        denoising = None
        if noisy is not None:
            denoising, layers = noisy.split(layers)
        return DetectorOutput(
            *layers[-1],
            auxiliary=layers[:-1],
            classification=self.classification,
            denoising=denoising,
        )

    def _queries(self, batch: int) -> tuple[Tensor, Tensor]:
        """Content (B, Q, C) and box (B, Q, 4) of the learned queries."""
        reference = at_least_float32(self.reference_embed.weight).sigmoid()
        if self.num_patterns:
            content = self.pattern_embed.weight.repeat_interleave(self.num_queries, dim=0)
            reference = reference.repeat(self.num_patterns, 1)
        elif self.denoising is not None:
            content = self.label_queries.unknown().expand(self.num_queries, -1)
        else:
            content = self.class_head.weight.new_zeros(self.num_queries, self.transformer.embed_dims)
        return content.expand(batch, -1, -1), reference.expand(batch, -1, -1)

    def _moved(self, state: Tensor, reference: Tensor) -> Tensor:
        """Boxes (B, Q, 4) that the head puts in place of the reference."""
        return (at_least_float32(self.box_head(state)) + inverse_sigmoid(reference, _EPS)).sigmoid()
