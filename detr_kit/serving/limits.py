"""What a server takes on, and no more."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import InputError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; what is beyond them gets an answer at once instead of memory or time.

    A full house holds at most `queue_size` × (`max_bytes` + 3 × `max_pixels`) bytes of images, and bodies on
    their way `max_upload_bytes` more.

    Args:
        max_batch: images of one size that go through the network together.
        max_wait: seconds that an image waits for others of its size while the network has nothing to do.
        queue_size: requests in the house at a time, from the last byte of the body to the answer; others get
            429.
        max_bytes: of a request's body; larger ones get 413.
        max_pixels: width × height of an image, read before it is decoded; larger ones get 413.
        timeout: seconds from the first byte to the answer; 408 while the body is read, then 504.
        max_uploads: bodies on their way at a time. One more takes the room of the slowest that is below
            `min_rate`, or gets 429.
        max_uploads_per_client: of them from one address; as many as `max_uploads` is no bound.
        max_upload_bytes: held by all bodies on their way; what is beyond costs as one upload too many does.
        min_rate: bytes a second that a body must come at; who is 5 s behind gets 408.
        max_connections: open at a time. One more takes the room of that which has asked nothing for longest.

    Raises:
        InputError: a bound that lets nothing through.
    """

    max_batch: int = 8
    max_wait: float = 0.01
    queue_size: int = 32
    max_bytes: int = 16 * 2**20
    max_pixels: int = 25_000_000
    timeout: float = 30.0
    max_uploads: int = 256
    max_uploads_per_client: int = 128
    max_upload_bytes: int = 256 * 2**20
    min_rate: float = 4096
    max_connections: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            enough = value >= 0 if field.name == "max_wait" else value > 0
            if not (enough and math.isfinite(value)):
                raise InputError(f"{_option(field.name)} {value}: it must be a number above zero")
        self._require("max_upload_bytes", self.max_bytes, "so that the largest body passes")
        self._require(
            "max_connections", self.max_uploads + self.queue_size + 1, "so that all uploads and places fit"
        )

    def _require(self, name: str, least: int, reason: str) -> None:
        if getattr(self, name) < least:
            raise InputError(f"{_option(name)} {getattr(self, name)}: it must be at least {least}, {reason}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
