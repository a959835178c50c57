"""A part of the pictures held back for validation, the same for the same seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import InputError


def hold_out(
    data: dict[str, Any], fraction: float = 0.2, seed: int = 0, groups: Sequence[int] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide a set in COCO form into one to train on and one to validate on.

    Args:
        data: with "images", "annotations" and "categories".
        fraction: of the images, that are held back; at least one.
        seed: of the draw.
        groups: of each image, as `find_look_alikes` gives them: images of one group stay on one side. A group
            larger than the part is trained on; where nothing is left to hold back, the smallest is held back,
            and where all are one group it is divided all the same.

    Raises:
        InputError: fewer than two images.
    """
    images = data["images"]
    if len(images) < 2:
        raise InputError(f"{len(images)} image(s) cannot be divided into training and validation; add some")
    if groups is None or len(set(groups)) < 2:
        groups = range(len(images))
    count = min(max(round(fraction * len(images)), 1), len(images) - 1)
    drawn = _draw(groups, count, np.random.default_rng(seed))
    held = {images[index]["id"] for index in drawn}
    return _part(data, lambda image_id: image_id not in held), _part(data, lambda image_id: image_id in held)


def _draw(groups: Sequence[int], count: int, generator: np.random.Generator) -> list[int]:
    """Whole groups of `count` images together, or fewer where the next would be too many."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, number in enumerate(groups):
        members[number].append(index)
    drawn: list[int] = []
    for index in generator.permutation(len(groups)):
        group = members.pop(groups[index], [])
        if len(drawn) + len(group) <= count:
            drawn += group
        elif not drawn:
            members[groups[index]] = group
    return drawn or min(members.values(), key=len)


def _part(data: dict[str, Any], belongs: Callable[[Any], bool]) -> dict[str, Any]:
    return {
        **data,
        "images": [image for image in data["images"] if belongs(image["id"])],
        "annotations": [a for a in data["annotations"] if belongs(a["image_id"])],
    }
