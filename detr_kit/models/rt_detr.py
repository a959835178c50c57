"""RT-DETR and RT-DETRv2: real-time detection transformers (Zhao et al. 2024; Lv et al. 2024)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..pixel_scale import pixel_scale as named_pixel_scale
from ..registry import MODELS
from ..structures import DenoisingOutput, DetectorOutput, Target
from .deformable_transformer import valid_ratios_of
from .layers.convolution import ConvNorm
from .layers.feed_forward import MLP
from .layers.precision import at_least_float32, inverse_sigmoid
from .layers.resize_mask import resize_mask
from .necks.hybrid_encoder import HybridEncoder
from .queries.contrastive_denoising import ContrastiveDenoising
from .queries.denoising import DenoisingQueries
from .queries.query_selection import QuerySelection
from .rt_detr_decoder import RTDETRDecoder


class Decoded(NamedTuple):
    """What the decoder's layers say; see DetectorOutput for `initial` and `extras`."""

    layers: list[tuple[Tensor, Tensor]]
    initial: tuple[Tensor, Tensor] | None = None
    extras: dict[str, Tensor] | None = None

    def split(self, noisy: DenoisingQueries) -> tuple[DenoisingOutput, Decoded]:
        """What became of the denoising queries, which stand first, and of the others."""
        denoised, layers = noisy.split(self.layers)
        if self.initial is None or self.extras is None:
            return denoised, Decoded(layers)
        count = noisy.labels.shape[1]
        parts = {
            name: (t, t) if t.shape[2] == 1 else (t[:, :, :count], t[:, :, count:])
            for name, t in self.extras.items()
        }
        (logits, boxes), first, rest = self.initial, {}, {}
        for name, (noisy_part, other_part) in parts.items():
            first[name], rest[name] = noisy_part, other_part
        denoised = denoised._replace(initial=(logits[:, :count], boxes[:, :count]), extras=first)
        return denoised, Decoded(layers, (logits[:, count:], boxes[:, count:]), rest)


@MODELS.register_module()
class RTDETR(nn.Module):
    """RT-DETR with sigmoid classification.

    Args:
        backbone: images -> list of maps, finest first.
        neck: maps -> levels of one width.
        decoder: see RTDETRDecoder.
        num_classes: classes; there is no "no object" class.
        num_queries: objects that can be found in an image.
        denoising: makes queries from noisy objects in training; None for none.
        pixel_scale: what it reads, see `detr_kit.pixel_scale`: "unit" as published; "imagenet" for a backbone
            that learned with it.

    Attributes:
        classification: "focal", a sigmoid a class; criterion and postprocessor have to know.
        criterion: what its loss has of its own, see `criterion_for`.

    Raises:
        ValueError: as many levels in the neck as not in the decoder.
    """

    classification = "focal"
    criterion: ClassVar[dict[str, Any]] = {
        "classification": {"type": "VarifocalLoss"},
        "weight_class": 1.0,
    }

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: HybridEncoder,
        decoder: RTDETRDecoder,
        num_classes: int = 80,
        num_queries: int = 300,
        denoising: ContrastiveDenoising | None = None,
        pixel_scale: str = "unit",
    ) -> None:
        super().__init__()
        self.pixel_scale = named_pixel_scale(pixel_scale)
        if neck.num_levels != decoder.num_levels:
            raise ValueError(
                f"{type(self).__name__}: the neck gives {neck.num_levels} levels, the decoder takes "
                f"{decoder.num_levels}; set num_levels of the decoder to the neck's number"
            )
        dims = decoder.embed_dims
        self.num_classes, self.num_queries, self.denoising = num_classes, num_queries, denoising
        self.backbone, self.neck, self.decoder = backbone, neck, decoder
        self.projections = nn.ModuleList(self._projection(neck.out_channels, dims) for _ in neck.in_channels)
        self.proposals = QuerySelection(dims, num_classes, num_queries)
        self._build_heads(dims, len(decoder.layers))
        if denoising is not None:
            self.denoising_embed = nn.Embedding(num_classes + 1, dims, padding_idx=num_classes)

    def _projection(self, in_channels: int, out_channels: int) -> nn.Module:
        """From a level of the neck to the decoder's memory."""
        return ConvNorm(in_channels, out_channels)

    def _build_heads(self, embed_dims: int, num_layers: int) -> None:
        """A class head and a box head for each layer of the decoder."""
        class_head = nn.Linear(embed_dims, self.num_classes)
        nn.init.constant_(class_head.bias, -math.log(99))
        box_head = MLP(embed_dims, embed_dims, 4, num_layers=3)
        nn.init.zeros_(box_head.output_layer.weight)
        nn.init.zeros_(box_head.output_layer.bias)
        self.class_heads = nn.ModuleList(copy.deepcopy(class_head) for _ in range(num_layers))
        self.box_heads = nn.ModuleList(copy.deepcopy(box_head) for _ in range(num_layers))

    def forward(
        self,
        images: Tensor,
        padding_mask: Tensor | None = None,
        targets: Sequence[Target] | None = None,
    ) -> DetectorOutput:
        """Detect objects.

        Args:
            images: (B, 3, H, W) float, RGB on the network's pixel scale, zero on padding.
            padding_mask: (B, H, W) bool, True on padding; None where there is none.
            targets: the objects to make denoising queries from, in training.
        """
        maps = self.backbone(images)
        masks = [resize_mask(padding_mask, images, m) for m in maps]
        levels = self.neck(maps, None if padding_mask is None else masks[-1])
        levels = [project(level) for project, level in zip(self.projections, levels, strict=True)]
        shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        memory = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)

        selected = self.proposals(memory, masks)
        content, reference, attention_mask = selected.content, selected.boxes.detach(), None
        noisy = None
        if self.training and self.denoising is not None and targets is not None:
            noisy = self.denoising(
                targets, num_queries=content.shape[1], num_classes=self.num_classes, device=content.device
            )
            content = torch.cat((self.denoising_embed(noisy.labels).to(content.dtype), content), dim=1)
            # As the original stores them, so that no side is exactly 0 or 1.
            reference = torch.cat((inverse_sigmoid(noisy.boxes).sigmoid(), reference), dim=1)
            attention_mask = noisy.attention_mask

        decoded = self._decode(
            content,
            reference,
            memory,
            shapes,
            valid_ratios=None if padding_mask is None else valid_ratios_of(masks),
            memory_mask=None if padding_mask is None else torch.cat([m.flatten(1) for m in masks], dim=1),
            attention_mask=attention_mask,
        )
        denoised = None
        if noisy is not None:
            denoised, decoded = decoded.split(noisy)
        return DetectorOutput(
            *decoded.layers[-1],
            auxiliary=decoded.layers[:-1],
            encoder=(selected.logits, selected.boxes),
            classification=self.classification,
            encoder_knows_classes=True,
            denoising=denoised,
            extras=decoded.extras,
            initial=decoded.initial,
        )

    def _decode(
        self,
        content: Tensor,
        reference: Tensor,
        memory: Tensor,
        shapes: Sequence[tuple[int, int]],
        **context: Tensor | None,
    ) -> Decoded:
        """Run the decoder with the heads.

        A layer's loss also teaches the box of the layer before, and none before that (look forward twice).
        """
        layers: list[tuple[Tensor, Tensor]] = []
        before = reference

        def refine(index: int, state: Tensor) -> Tensor:
            nonlocal before
            delta = at_least_float32(self.box_heads[index](state))
            boxes = (delta + inverse_sigmoid(before)).sigmoid()
            layers.append((at_least_float32(self.class_heads[index](state)), boxes))
            before = (delta + inverse_sigmoid(before.detach())).sigmoid()
            return before.detach()

        self.decoder(content, reference, memory, shapes, refine=refine, **context)
        return Decoded(layers)
