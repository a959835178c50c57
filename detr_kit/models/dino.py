"""DINO: Deformable DETR with contrastive denoising, mixed query selection and look forward twice."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .deformable_transformer import DeformableTransformer
from .layers.feed_forward import MLP
from .layers.position_encoding import query_encoding
from .layers.precision import at_least_float32, inverse_sigmoid
from .necks.channel_mapper import ChannelMapper
from .queries.denoising import Denoising
from .queries.query_selection import QuerySelection

_EPS = 1e-3  # of the inverse sigmoid; other DETRs have 1e-5


@MODELS.register_module()
class DINO(nn.Module):
    """DINO with sigmoid (focal) classification (Zhang et al. 2023).

    Look forward twice (section 3.5): a layer's box is an offset from the box before it, whose gradient is
    kept for this one step. It is read from the normalised state, the reference of the next layer from the
    state as it is, both by the same head:

        reference ──┬─ layer ─ state ─┬─ box head ──────── + ─ detached ─► next reference
                    │                 └─ norm ─ box head ─ + ─► box
                    └────── undetached, of the layer before ┘

    Mixed query selection (section 3.4): queries start from the boxes that the encoder is surest of, with
    contents that are learned, and not with those of the encoder.

    Args:
        backbone: images -> list of maps, finest first.
        neck: maps -> levels of the transformer's width.
        position_encoding: padding mask (B, H, W) -> (B, H, W, C).
        transformer: see DeformableTransformer.
        num_classes: classes; there is no "no object" class.
        num_queries: objects that can be found in an image.
        denoising: what makes further queries from the targets in training, or None.
        share_heads: one pair of heads for all decoder layers, as in the original code; mmdetection and detrex
            have one a layer.

    Attributes:
        classification: "focal", what the logits mean; criterion and postprocessor have to know.
        criterion: what its loss has of its own, see `criterion_for`.

    Raises:
        ValueError: as many levels in the neck as not in the transformer.
    """

    classification = "focal"
    criterion: ClassVar[dict[str, Any]] = {"weight_class": 1.0}

    def __init__(
        self,
        backbone: nn.Module,
        neck: ChannelMapper,
        position_encoding: nn.Module,
        transformer: DeformableTransformer,
        *,
        num_classes: int = 91,
        num_queries: int = 900,
        denoising: Denoising | None = None,
        share_heads: bool = True,
    ) -> None:
        super().__init__()
        if neck.num_levels != transformer.num_levels:
            raise ValueError(
                f"DINO: the neck gives {neck.num_levels} levels, the transformer takes "
                f"{transformer.num_levels}; set num_levels of both to the same number"
            )
        embed_dims, num_layers = transformer.embed_dims, len(transformer.decoder_layers)
        self.num_classes, self.num_queries, self.denoising = num_classes, num_queries, denoising
        self.backbone, self.neck, self.position_encoding = backbone, neck, position_encoding
        self.transformer = transformer
        self.decoder_norm = nn.LayerNorm(embed_dims)
        self.query_position = MLP(2 * embed_dims, embed_dims, embed_dims, num_layers=2)
        self.query_embed = nn.Embedding(num_queries, embed_dims)

        class_head = nn.Linear(embed_dims, num_classes)
        nn.init.constant_(class_head.bias, -math.log(99))
        box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
        nn.init.zeros_(box_head.output_layer.weight)
        nn.init.zeros_(box_head.output_layer.bias)
        count = 1 if share_heads else num_layers
        self.class_heads = nn.ModuleList(copy.deepcopy(class_head) for _ in range(count))
        self.box_heads = nn.ModuleList(copy.deepcopy(box_head) for _ in range(count))
        self.selection = QuerySelection(embed_dims, num_classes, num_queries)
        for parameter in self.query_position.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if denoising is not None:  # without, these would be parameters that nothing reads
            self.label_embed = nn.Embedding(num_classes + 1, embed_dims)  # the last is padding's, and unused

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
        maps = self.neck(self.backbone(images))
        levels = self.transformer.flatten(maps, images, padding_mask, self.position_encoding)
        memory = self.transformer.encode(levels)
        selected = self.selection(memory, levels.masks)
        reference, mask = selected.boxes.detach(), None
        content = self.query_embed.weight[: reference.shape[1]].expand(images.shape[0], -1, -1)
        noisy = None
        if self.denoising is not None and self.training:
            noisy = self.denoising.of_batch(
                images, targets, num_queries=reference.shape[1], num_classes=self.num_classes
            )
            made, mask = self.label_embed(noisy.labels), noisy.attention_mask
            content = torch.cat((made.masked_fill(noisy.padding[..., None], 0), content), dim=1)
            reference = torch.cat((inverse_sigmoid(noisy.boxes, _EPS).sigmoid(), reference), dim=1)

        layers: list[tuple[Tensor, Tensor]] = []
        box_before = reference

        def refine(index: int, state: Tensor, reference: Tensor) -> Tensor:
            nonlocal box_before
            layers.append(self._read_out(index, self.decoder_norm(state), box_before))
            if index + 1 == len(self.transformer.decoder_layers):
                return reference
            box_before = self._moved(index, state, reference)
            return box_before.detach()

        self.transformer.decode(content, self._position_of, reference, memory, levels, refine, mask)
        denoising = None
        if noisy is not None:
            denoising, layers = noisy.split(layers)
        return DetectorOutput(
            *layers[-1],
            auxiliary=layers[:-1],
            encoder=(selected.logits, selected.boxes),
            classification=self.classification,
            encoder_knows_classes=True,
            denoising=denoising,
        )

    def _position_of(self, index: int, content: Tensor, reference: Tensor) -> Tensor:
        """Where queries are, for attention: nothing of the content enters."""
        encoding = query_encoding(reference, self.transformer.embed_dims // 2)
        return self.query_position(encoding.to(content.dtype))

    def _read_out(self, index: int, state: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, boxes) of a decoder layer from its normalised state."""
        head = self.class_heads[index % len(self.class_heads)]
        return at_least_float32(head(state)), self._moved(index, state, reference)

    def _moved(self, index: int, state: Tensor, reference: Tensor) -> Tensor:
        """Boxes (B, Q, 4) that a layer's head puts in place of the reference."""
        delta = at_least_float32(self.box_heads[index % len(self.box_heads)](state))
        return (delta + inverse_sigmoid(reference, _EPS)).sigmoid()
