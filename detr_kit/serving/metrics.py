"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "detr_kit_requests", "requests by path and status", ("path", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "detr_kit_request_seconds",
            "first byte to answer",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "detr_kit_batch_size", "images a batch", buckets=(1, 2, 4, 8, 16, 32), registry=self.registry
        )
        self.batch_seconds = Histogram(
            "detr_kit_batch_seconds", "one batch in the network", buckets=_SECONDS, registry=self.registry
        )
        self.uploads_ended = self._by_reason(
            "detr_kit_uploads_ended",
            "bodies not read to the end: slow, crowded (made room for another), refused (no room)",
            ("slow", "crowded", "refused"),
        )
        self.connections_cut = self._by_reason(
            "detr_kit_connections_cut",
            "connections cut: slow, or crowded (made room for another)",
            ("slow", "crowded"),
        )

    def show(self, name: str, text: str, function: Callable[[], float]) -> None:
        """A gauge of what a function gives at the time."""
        Gauge(f"detr_kit_{name}", text, registry=self.registry).set_function(function)

    def _by_reason(self, name: str, text: str, reasons: Collection[str]) -> Counter:
        counter = Counter(name, text, ("reason",), registry=self.registry)
        for reason in reasons:  # so that each is there, at 0, before it happens
            counter.labels(reason)
        return counter

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class MeasureRequests:
    """ASGI middleware that counts and times the requests of known paths; the others are "other"."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"] if scope["path"] in self.paths else "other"
        start, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.request_seconds.labels(path).observe(time.perf_counter() - start)
