"""Images of equal shape share a batch, whichever others come between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor


class Ready(NamedTuple):
    """An image as the network takes it.

    Attributes:
        number: its place in the part.
        pixels: (3, H, W) uint8, of the network's size.
        size: (height, width) of the image itself.
    """

    number: int
    pixels: Tensor
    size: tuple[int, int]


def equal_shape_batches(
    images: Iterable[Ready], batch_size: Callable[[int, int], int], most_waiting: int
) -> Iterator[list[Ready]]:
    """Batches whose images have one shape; which they are follows from the order of the images alone.

    Args:
        images: read as they are needed.
        batch_size: images of height × width pixels to run at once.
        most_waiting: images that may wait for others of their shape; the largest group of more goes.
    """
    waiting: dict[tuple[int, ...], list[Ready]] = defaultdict(list)
    for image in images:
        group = waiting[tuple(image.pixels.shape)]
        group.append(image)
        if len(group) >= batch_size(*image.pixels.shape[-2:]):
            yield waiting.pop(tuple(image.pixels.shape))
        elif sum(map(len, waiting.values())) > most_waiting:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()
