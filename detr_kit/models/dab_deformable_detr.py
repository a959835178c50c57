"""DAB-Deformable-DETR, whose queries are boxes (Liu et al. 2022), and DN-Deformable-DETR (Li et al. 2022)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import MODELS
from ..structures import DetectorOutput, Target
from .deformable_transformer import DeformableTransformer
from .layers.feed_forward import MLP
from .layers.position_encoding import query_encoding
from .layers.precision import at_least_float32, inverse_sigmoid
from .necks.channel_mapper import ChannelMapper
from .queries.denoising import Denoising
from .queries.label_queries import LabelQueries

_EPS = 1e-3  # of the inverse sigmoid; other DETRs have 1e-5


@MODELS.register_module()
class DabDeformableDETR(nn.Module):
    """Deformable DETR with boxes as queries and sigmoid (focal) classification; with `denoising` its DN-DETR.

    Every layer has heads of its own and refines the boxes of the one before.

    Args:
        backbone: images -> list of maps, finest first.
        neck: maps -> levels of the transformer's width.
        position_encoding: padding mask (B, H, W) -> (B, H, W, C).
        transformer: see DeformableTransformer.
        num_classes: classes; there is no "no object" class.
        num_queries: objects that can be found in an image.
        denoising: what makes further queries from the targets in training, or None. With it the last channel
            of a query's content tells denoising queries from others.

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
        num_queries: int = 300,
        denoising: Denoising | None = None,
    ) -> None:
        super().__init__()
        if neck.num_levels != transformer.num_levels:
            raise ValueError(
                f"DabDeformableDETR: the neck gives {neck.num_levels} levels, the transformer takes "
                f"{transformer.num_levels}; set num_levels of both to the same number"
            )
        embed_dims, num_layers = transformer.embed_dims, len(transformer.decoder_layers)
        self.num_classes, self.num_queries, self.denoising = num_classes, num_queries, denoising
        self.backbone, self.neck, self.position_encoding = backbone, neck, position_encoding
        self.transformer = transformer
        self.query_position = MLP(2 * embed_dims, embed_dims, embed_dims, num_layers=2)
        self.query_scale = MLP(embed_dims, embed_dims, embed_dims, num_layers=2)
        for parameter in (*self.query_position.parameters(), *self.query_scale.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.reference_embed = nn.Embedding(num_queries, 4)  # before the sigmoid
        self.query_embed = nn.Embedding(num_queries, embed_dims - (denoising is not None))
        if denoising is not None:
            self.label_queries = LabelQueries(num_classes, embed_dims)

        class_head = nn.Linear(embed_dims, num_classes)
        nn.init.constant_(class_head.bias, -math.log(99))
        box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
        nn.init.zeros_(box_head.output_layer.weight)
        nn.init.zeros_(box_head.output_layer.bias)
        self.class_heads = nn.ModuleList(copy.deepcopy(class_head) for _ in range(num_layers))
        self.box_heads = nn.ModuleList(copy.deepcopy(box_head) for _ in range(num_layers))
        nn.init.constant_(cast(MLP, self.box_heads[0]).output_layer.bias[2:], -2.0)

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
        content = self.query_embed.weight
        if self.denoising is not None:
            content = F.pad(content, (0, 1))
        content = content.expand(images.shape[0], -1, -1)
        reference = at_least_float32(self.reference_embed.weight).sigmoid().expand(images.shape[0], -1, -1)
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

        def refine(index: int, state: Tensor, reference: Tensor) -> Tensor:
            layers.append(self._read_out(index, state, reference))
            return layers[-1][1].detach()

        self.transformer.decode(content, self._position_of, reference, memory, levels, refine, attention_mask)
        denoising = None
        if noisy is not None:
            denoising, layers = noisy.split(layers)
        return DetectorOutput(
            *layers[-1],
            auxiliary=layers[:-1],
            classification=self.classification,
            denoising=denoising,
        )

    def _position_of(self, index: int, content: Tensor, reference: Tensor) -> Tensor:
        """Where queries are, scaled by their content; that of the first layer says nothing yet."""
        encoding = query_encoding(reference, self.transformer.embed_dims // 2)
        position = self.query_position(encoding.to(content.dtype))
        return position if index == 0 else self.query_scale(content) * position

    def _read_out(self, layer: int, state: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, boxes) of a decoder layer; boxes are offsets from the layer's reference."""
        delta = at_least_float32(self.box_heads[layer](state))
        boxes = (delta + inverse_sigmoid(reference, _EPS)).sigmoid()
        return at_least_float32(self.class_heads[layer](state)), boxes
