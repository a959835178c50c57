"""What a server takes on, and no more."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import InputError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; what is beyond them gets an answer at once instead of memory or time.

    A full house holds at most `queue_size` × (`max_bytes` + 3 × `max_pixels`) bytes of images.

    Args:
        max_batch: images of one size that go through the network together.
        max_wait: seconds that an image waits for others of its size while the network has nothing to do.
        queue_size: requests in the house at a time, from the first byte to the answer; others get 429.
        max_bytes: of a request's body; larger ones get 413.
        max_pixels: width × height of an image, read before it is decoded; larger ones get 413.
        timeout: seconds from the first byte to the answer; 408 while the body is read, then 504.

    Raises:
        InputError: a bound that lets nothing through.
    """

    max_batch: int = 8
    max_wait: float = 0.01
    queue_size: int = 32
    max_bytes: int = 16 * 2**20
    max_pixels: int = 25_000_000
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "max_wait"):
                raise InputError(f"--{field.name.replace('_', '-')} {value}: it must be above zero")
