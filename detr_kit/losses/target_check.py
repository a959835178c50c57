"""Targets that cannot be are refused before they teach anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import InputError

_SLACK = 1e-3  # beyond [0, 1]: rounding in text files


def check_targets(rows: np.ndarray, counts: Sequence[int], names: Sequence[str], num_classes: int) -> None:
    """Refuse labels out of range and boxes that are no normalised cxcywh.

    Args:
        rows: (B, T, 5) label and box of each object, on the host.
        counts: objects in each image; the rest of a row is padding.
        names: of the images, for the message.
        num_classes: of the network, without "no object".

    Raises:
        InputError: names the image, the object, its value and the remedy.
    """
    labels, boxes = rows[..., 0], rows[..., 1:]
    known: np.ndarray = (labels >= 0) & (labels < num_classes)
    # False for what is not a number.
    inside = np.all((boxes >= -_SLACK) & (boxes <= 1 + _SLACK), axis=-1)
    fine = known & inside & (boxes[..., 2:] > 0).all(-1)
    fine |= np.arange(rows.shape[1]) >= np.array(counts)[:, None]
    if fine.all():
        return
    image, index = np.argwhere(~fine)[0]
    where = f"{names[image]}, object {index}"
    if not known[image, index]:
        raise InputError(
            f"{where}: label {labels[image, index]:.0f}, and the network has the classes 0 … "
            f"{num_classes - 1}; number the classes from 0, or build it with more (num_classes)"
        )
    box = boxes[image, index]
    shown = f"{where}: box [{', '.join(f'{value:.6g}' for value in box)}]"
    if not np.isfinite(box).all():
        raise InputError(f"{shown} is not finite; correct it where it comes from")
    if not inside[image, index]:
        raise InputError(
            f"{shown} is not in [0, 1]: boxes are (centre x, centre y, width, height) in parts of the image; "
            "divide pixels by the image's width and height"
        )
    raise InputError(
        f"{shown} has no area: boxes are (centre x, centre y, width, height), not two corners; leave out "
        "objects of no size"
    )


def check_shapes(name: str, labels: Any, boxes: Any) -> None:
    """Refuse what is no (N,) tensor of whole numbers with an (N, 4) one of boxes.

    Raises:
        InputError: names the image, what is there and what is wanted.
    """
    for field, value in (("labels", labels), ("boxes", boxes)):
        if not isinstance(value, Tensor):
            raise InputError(f"{name}: {field!r} is a {type(value).__name__}; give a tensor")
    if labels.ndim != 1 or (labels.numel() and (labels.is_floating_point() or labels.is_complex())):
        raise InputError(
            f"{name}: 'labels' is {_described(labels)}; give whole numbers (N,), torch.int64, one an object"
        )
    if boxes.numel() != 4 * len(labels) or (boxes.numel() and boxes.shape != (len(labels), 4)):
        raise InputError(
            f"{name}: 'boxes' is {_described(boxes)} beside {len(labels)} labels; give (N, 4), "
            "(centre x, centre y, width, height) of each object"
        )


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
