"""One detector behind a queue, as the handlers of requests use it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from starlette.requests import ClientDisconnect, Request

from ..inference import Detections, Predictor
from .batching import BatchingQueue
from .connections import Connections
from .limits import Limits
from .metrics import Metrics
from .problem import Problem
from .upload import decode_upload
from .uploads_in_progress import UploadsInProgress


class DetectionService:
    """Takes requests in, within the limits, and hands their images to the detector in batches.

    A request has a place from the last byte of its body to its answer, so bodies, decoded images and the
    queue have one common bound. Bodies that are still on their way have their own (`UploadsInProgress`).

    Args:
        detector: runs in a thread of its own and nowhere else.
        limits: what the server takes on.
    """

    def __init__(self, detector: Predictor, limits: Limits) -> None:
        self.detector, self.limits = detector, limits
        self.queue: BatchingQueue[np.ndarray] = BatchingQueue(self._detect, limits.max_batch, limits.max_wait)
        self.metrics = Metrics()
        self.uploads = UploadsInProgress(limits, self.metrics.uploads_ended)
        self.connections = Connections(limits, self.metrics.connections_cut)
        self.in_house = 0
        self._show_gauges()
        self._seconds_per_image = 0.1
        self._decoders: anyio.CapacityLimiter | None = None

    async def detect(self, request: Request) -> Detections:
        """All detections of the image in a request, whatever their score; errors are those of `_run`."""

        def queue(image: np.ndarray) -> Future:
            return self.queue.submit(image, key=image.shape)  # equal sizes share a batch

        return await self._run(request, queue)

    async def run_alone(self, request: Request, function: Callable[[np.ndarray], Any]) -> Any:
        """A function of the image in a request, called in the detector's thread."""
        return await self._run(request, lambda image: self.queue.submit_alone(lambda: function(image)))

    def close(self) -> None:
        """Finish what is queued."""
        self.queue.close()

    async def _run(self, request: Request, queue: Callable[[np.ndarray], Future]) -> Any:
        """Read, decode, queue and wait.

        Raises:
            Problem: 429 where all places are taken, 504 where it takes longer than the timeout, 499 where the
                client has left, and those of `UploadsInProgress.read`.
        """
        deadline = time.monotonic() + self.limits.timeout
        self._check_for_a_place()  # before a body travels for nothing
        try:
            data = await self.uploads.read(request)
        except ClientDisconnect as error:
            raise _client_left() from error
        self._check_for_a_place()
        self.in_house += 1
        try:
            with anyio.fail_after(max(deadline - time.monotonic(), 0)):
                image = await self._decode(data)
                del data
                return await _unless_gone(request, queue(image))
        except TimeoutError as error:
            message = f"no answer within {self.limits.timeout:g} s; send smaller images or fewer at a time"
            raise Problem(504, "timeout", message, retry_after=1) from error
        finally:
            self.in_house -= 1

    def _check_for_a_place(self) -> None:
        """Raises a 429 where all are taken, with the time after which some should be free."""
        if self.in_house >= self.limits.queue_size:
            wait = max(1, math.ceil(self.in_house * self._seconds_per_image / 2))
            message = f"{self.in_house} requests are waiting already; try again in {wait} s"
            raise Problem(429, "queue_full", message, retry_after=wait)

    def _show_gauges(self) -> None:
        show = self.metrics.show
        show("requests_in_house", "requests between last byte and answer", lambda: self.in_house)
        show("images_waiting", "images that wait for the network", lambda: len(self.queue))
        show("uploads", "bodies on their way", lambda: len(self.uploads))
        show("upload_bytes", "held by bodies on their way", lambda: self.uploads.num_bytes)
        show("connections", "open connections", lambda: len(self.connections))

    async def _decode(self, data: bytes) -> np.ndarray:
        if self._decoders is None:  # made inside the event loop
            self._decoders = anyio.CapacityLimiter(2)
        return await anyio.to_thread.run_sync(
            decode_upload, data, self.limits, limiter=self._decoders, abandon_on_cancel=True
        )

    def _detect(self, images: list[np.ndarray]) -> list[Detections]:
        start = time.perf_counter()
        results = self.detector(images, score_threshold=0.0, batch_size=self.limits.max_batch)
        seconds = time.perf_counter() - start
        self.metrics.batch_size.observe(len(images))
        self.metrics.batch_seconds.observe(seconds)
        self._seconds_per_image += 0.2 * (seconds / len(images) - self._seconds_per_image)
        return results


async def _unless_gone(request: Request, future: Future) -> Any:
    """The result of a future. Where it is not waited for to the end, what has not begun is not run."""
    result = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise _client_left()
        return result.result()
    finally:
        gone.cancel()
        result.cancel()


def _client_left() -> Problem:
    return Problem(499, "client_left", "nobody is there to read this")  # seen in the metrics only


async def _disconnected(request: Request) -> None:
    """Returns when the client of a request has left; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
