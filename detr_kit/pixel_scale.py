"""What networks read of a pixel: the one place that says so for training, inference and export."""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import InputError


class PixelScale(NamedTuple):
    """Of each channel of RGB in [0, 1]: what is taken off, and what that is divided by."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


PIXEL_SCALES = {
    "imagenet": PixelScale((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": PixelScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
IMAGENET = PIXEL_SCALES["imagenet"]


def pixel_scale(name: str) -> PixelScale:
    """By its name: "imagenet", or "unit" for [0, 1] as it is.

    Raises:
        InputError: another name.
    """
    if name not in PIXEL_SCALES:
        known = ", ".join(map(repr, PIXEL_SCALES))
        raise InputError(f"pixel_scale={name!r}; it must be one of {known}")
    return PIXEL_SCALES[name]


def pixel_scale_of(network: Any) -> PixelScale:
    """As the network's `pixel_scale` says; ImageNet's where it says nothing."""
    return getattr(network, "pixel_scale", IMAGENET)
