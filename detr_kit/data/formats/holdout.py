"""A part of the pictures held back for validation, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError


def hold_out(data: dict[str, Any], fraction: float = 0.2, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide a set in COCO form into one to train on and one to validate on.

    Args:
        data: with "images", "annotations" and "categories".
        fraction: of the images, that are held back; at least one.
        seed: of the draw.

    Raises:
        InputError: fewer than two images.
    """
    images = data["images"]
    if len(images) < 2:
        raise InputError(f"{len(images)} image(s) cannot be divided into training and validation; add some")
    count = min(max(round(fraction * len(images)), 1), len(images) - 1)
    drawn = np.random.default_rng(seed).permutation(len(images))[:count]
    held = {images[index]["id"] for index in drawn}
    return _part(data, lambda image_id: image_id not in held), _part(data, lambda image_id: image_id in held)


def _part(data: dict[str, Any], belongs: Any) -> dict[str, Any]:
    return {
        **data,
        "images": [image for image in data["images"] if belongs(image["id"])],
        "annotations": [a for a in data["annotations"] if belongs(a["image_id"])],
    }
