"""Bodies that are on their way: how many there may be, how much they hold, and how slow they come."""

from __future__ import annotations

from collections.abc import Collection

import anyio
from prometheus_client import Counter
from starlette.requests import Request
from starlette.types import Message, Receive

from .limits import Limits
from .problem import Problem
from .upload import read_body

GRACE = 5.0  # seconds that an upload may be behind the minimum rate
AHEAD = 0.02  # and in advance of it: a burst buys no rest


class UploadsInProgress:
    """Reads the bodies of requests, within the limits.

    Each byte pays for 1 / `min_rate` seconds. Who has paid for less than the time that has passed is behind:
    for more than `GRACE` seconds, and the upload ends; at all, and it is in line to make room for others, he
    who is furthest behind first. So a client that declares a body and sends two bytes costs nobody a place,
    while a slow but steady one is never sent away for a newcomer.

    Args:
        limits: how many uploads, how many of one client, how many bytes, at which rate.
        ended: counts those that were ended, by reason.
    """

    def __init__(self, limits: Limits, ended: Counter) -> None:
        self.limits, self._ended = limits, ended
        self._open: set[_Upload] = set()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    async def read(self, request: Request) -> bytes:
        """The image file of a request.

        Raises:
            Problem: 429 where there is no room, 408 where it comes too slowly, and those of `read_body`.
        """
        upload = _Upload(request.client.host if request.client else "", self.limits)
        self._take_in(upload)
        try:
            with upload.scope:
                request = Request(request.scope, self._watched(request.receive, upload))
                return await read_body(request, self.limits.max_bytes)
        finally:
            self._forget(upload)
        if not upload.made_room:
            self._ended.labels("slow").inc()
        raise Problem(408, "slow_upload", upload.why_ended())

    def _take_in(self, upload: _Upload) -> None:
        same = [other for other in self._open if other.client == upload.client]
        if len(same) >= self.limits.max_uploads_per_client:
            self._make_room(same)
        elif len(self._open) >= self.limits.max_uploads:
            self._make_room(self._open)
        self._open.add(upload)

    def _watched(self, receive: Receive, upload: _Upload) -> Receive:
        async def watched() -> Message:
            message = await receive()
            num_bytes = len(message.get("body", b""))
            upload.paid(num_bytes)
            if upload in self._open:
                upload.num_bytes += num_bytes
                self.num_bytes += num_bytes
            while self.num_bytes > self.limits.max_upload_bytes:
                self._make_room([other for other in self._open if other.num_bytes])
            return message

        return watched

    def _make_room(self, uploads: Collection[_Upload]) -> None:
        """End the upload that is furthest behind, or, where none is behind, refuse the one that asks."""
        slowest = min(uploads, key=lambda upload: upload.paid_until)
        if slowest.paid_until >= anyio.current_time():
            self._ended.labels("refused").inc()
            message = f"{len(self._open)} bodies are on their way already; try again in 1 s"
            raise Problem(429, "too_many_uploads", message, retry_after=1)
        self._ended.labels("crowded").inc()
        self._forget(slowest)
        slowest.made_room = True
        slowest.scope.cancel()

    def _forget(self, upload: _Upload) -> None:
        if upload in self._open:
            self._open.remove(upload)
            self.num_bytes -= upload.num_bytes


class _Upload:
    """One body on its way; to be read inside its scope, which ends it."""

    def __init__(self, client: str, limits: Limits) -> None:
        self.client, self.limits = client, limits
        self.num_bytes = 0
        self.made_room = False
        self.paid_until = anyio.current_time()
        self._end = self.paid_until + limits.timeout
        self.scope = anyio.CancelScope()
        self.paid(0)

    def paid(self, num_bytes: int) -> None:
        """Bytes have come."""
        until = self.paid_until + num_bytes / self.limits.min_rate
        self.paid_until = min(until, anyio.current_time() + AHEAD)
        self.scope.deadline = min(self.paid_until + GRACE, self._end)

    def why_ended(self) -> str:
        rate = f"{self.limits.min_rate:g} bytes a second"
        if self.made_room:
            return f"others needed the room of this body, which came at less than {rate}"
        if self.scope.deadline == self._end:
            return f"the body was not here after {self.limits.timeout:g} s"
        return f"the body came at less than {rate}"
