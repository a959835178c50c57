"""Running a network once more to see where it looks for a detection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from ..errors import InputError
from ..families import family_of_network
from ..structures import DetectorOutput, Prediction
from .attention import attention_of, recorded_inputs
from .explanation import Explanation


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
        network: of a known family, in evaluation mode.
        postprocessor: of the network.
        images: (1, 3, H, W) normalised, without padding.
        image: (H, W, 3) uint8 RGB, the original.
        class_names: of the labels.
        detection: which detection, 0 for the best.
        query: one of the decoder's queries instead, with the class it is surest of.

    Raises:
        InputError: no such detection or query, or a network of another kind.
    """
    try:
        attention, encoding = family_of_network(network).explained_modules(network)
    except InputError as error:
        raise InputError(f"explain: {error}") from error
    with torch.inference_mode(), recorded_inputs([*attention, encoding]) as recorded:
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
            label = int(output.probabilities()[0, query].argmax())
        score = output.probabilities()[0, query, label]
        seen = attention_of(attention, calls, query, masks[0][0].shape[-2:])
        boxes = _to_pixels(layers[:, query], size).cpu()
    return Explanation(image, query, class_names[label], float(score), boxes, seen)


def _check(name: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise InputError(f"{name}={number}: there are {count}, 0 … {count - 1}")


def _to_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(…, 4) cxcywh normalised -> xyxy in pixels of an image of (height, width)."""
    height, width = size
    return box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])
