"""The explanation of one detection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import box_convert

from ..errors import InputError
from ..models import DETR, DeformableDETR
from ..structures import DetectorOutput, Prediction
from .attention import (
    DeformableAttention,
    GlobalAttention,
    deformable_attention,
    global_attention,
    recorded_inputs,
)

Attention = DeformableAttention | GlobalAttention


@dataclass
class Explanation:
    """Where a network looked for one detection.

    Attributes:
        image: (H, W, 3) uint8 RGB, the original image.
        query: which of the decoder's queries found it.
        class_name, score: of the detection.
        boxes: (layers, 4) float32 xyxy in pixels of the original image: the box after each decoder layer; the
            last one is the detection's.
        attention: sampling points (Deformable DETR) or maps (DETR) of every layer, normalised coordinates.
    """

    image: np.ndarray
    query: int
    class_name: str
    score: float
    boxes: Tensor
    attention: Attention

    def plot(self, layer: int = -1) -> Image.Image:
        """The explanation as a figure.

        Args:
            layer: the decoder layer whose attention is drawn; the last by default.

        Raises:
            InputError: no such layer.
        """
        from .figure import draw_deformable, draw_global

        layers = len(self.boxes)
        if not -layers <= layer < layers:
            raise InputError(f"layer={layer}: the decoder has {layers} layers, 0 … {layers - 1}")
        draw = draw_deformable if isinstance(self.attention, DeformableAttention) else draw_global
        return draw(self, layer % layers)

    def save(self, path: str | Path, layer: int = -1) -> Path:
        """Write the figure; the ending chooses the format.

        Raises:
            InputError: no such layer, an ending that is no image format, or a place that cannot be written.
        """
        path, picture = Path(path), self.plot(layer)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=92)
        except (ValueError, OSError) as error:
            raise InputError(f"{path}: the figure cannot be written: {error}; try a .png name") from error
        return path


def explain(
    network: nn.Module,
    postprocessor: Callable[[DetectorOutput, Sequence[tuple[int, int]]], list[Prediction]],
    images: Tensor,
    image: np.ndarray,
    class_names: Sequence[str],
    detection: int = 0,
    query: int | None = None,
) -> Explanation:
    """Run a network on one image and explain a detection of it.

    Args:
        network: DETR or DeformableDETR, in evaluation mode.
        postprocessor: of the network.
        images: (1, 3, H, W) normalised, without padding.
        image: (H, W, 3) uint8 RGB, the original.
        class_names: of the labels.
        detection: which detection, 0 for the best.
        query: one of the decoder's queries instead, with the class it is surest of.

    Raises:
        InputError: no such detection or query, or a network of another kind.
    """
    if not isinstance(network, DETR | DeformableDETR):
        raise InputError(
            f"explain: a {type(network).__name__}; only DETR and DeformableDETR can be explained"
        )
    attention: list[Any] = [layer.cross_attn for layer in network.transformer.decoder_layers]
    with torch.inference_mode(), recorded_inputs([*attention, network.position_encoding]) as recorded:
        output: DetectorOutput = network(images, None)
        # The position encoding runs first, once a level, and is given a mask of the level's size.
        masks, calls = recorded[: -len(attention)], recorded[-len(attention) :]
        size = (image.shape[0], image.shape[1])
        layers = torch.stack([boxes[0] for _, boxes in output.auxiliary] + [output.boxes[0]])
        if query is None:
            prediction = postprocessor(output, [size])[0]
            _check("detection", detection, len(prediction.scores))
            final, box = _to_pixels(layers[-1], size), prediction.boxes[detection]
            query, label = int((final - box).abs().amax(-1).argmin()), int(prediction.labels[detection])
        else:
            _check("query", query, layers.shape[1])
            label = int(output.logits[0, query, : network.num_classes].argmax())
        if isinstance(network, DeformableDETR):
            score = output.logits[0, query].sigmoid()[label]
            seen: Attention = deformable_attention(attention, calls, query)
        else:
            score = output.logits[0, query].softmax(-1)[label]
            seen = global_attention(attention, calls, query, masks[0][0].shape[-2:])
        boxes = _to_pixels(layers[:, query], size).cpu()
    return Explanation(image, query, class_names[label], float(score), boxes, seen)


def _check(name: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise InputError(f"{name}={number}: there are {count}, 0 … {count - 1}")


def _to_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(…, 4) cxcywh normalised -> xyxy in pixels of an image of (height, width)."""
    height, width = size
    return box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])
