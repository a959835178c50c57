"""The size that a detector sees pictures in, as our transforms say it and as transformers' files do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RESIZES = ("ResizeShortestSide", "Resize")
LARGEST = 16384
"""Pixels of a side, where nothing limits it; beyond them a stranger's file is not believed."""


def size_in_transformers(transforms: Iterable[Mapping[str, Any]]) -> dict[str, int] | None:
    """The `size` of a preprocessor_config.json for test transforms; None where they do not resize.

    Args:
        transforms: configs of ResizeShortestSide or torchvision's Resize, among others.
    """
    for transform in transforms:
        if transform.get("type") not in RESIZES:
            continue
        size = transform.get("sizes", transform.get("size"))
        if transform["type"] == "Resize" and not isinstance(size, int):
            height, width = size
            return {"height": height, "width": width}
        shortest = size if isinstance(size, int) else size[0]
        return {"shortest_edge": shortest, "longest_edge": transform.get("max_size") or LARGEST}
    return None


def resize_of_transformers(processor: Mapping[str, Any]) -> dict[str, Any] | None:
    """The config of a transform that resizes as a preprocessor_config.json says; None where it says nothing.

    What is no size in pixels counts as nothing.
    """
    size = processor.get("size")
    if not isinstance(size, Mapping) or processor.get("do_resize") is False:
        return None
    sides = ("shortest_edge", "longest_edge", "height", "width")
    known = {side: size[side] for side in sides if side in size}
    if any(type(pixels) is not int or not 0 < pixels <= LARGEST for pixels in known.values()):
        return None
    if {"height", "width"} <= known.keys():
        return dict(type="Resize", size=[known["height"], known["width"]], antialias=True)
    if {"shortest_edge", "longest_edge"} <= known.keys():
        return dict(type="ResizeShortestSide", sizes=[known["shortest_edge"]], max_size=known["longest_edge"])
    return None
