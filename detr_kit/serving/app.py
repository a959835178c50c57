"""The HTTP endpoints."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .. import __version__
from ..inference import Detections, Predictor
from ..visualization import class_colour
from .limits import Limits
from .metrics import MeasureRequests
from .page import page_routes
from .problem import Problem, answer_problem
from .service import DetectionService
from .upload import TYPES

logger = logging.getLogger(__name__)


def create_app(
    detector: Predictor, limits: Limits | None = None, *, name: str = "detr-kit", page: bool = False
) -> Starlette:
    """An ASGI application around a detector.

    POST /detect   an image, raw or as a form's file -> its detections. Query: score_threshold (0.3),
                   max_detections (100)
    GET  /model    name, classes with their colours, limits
    GET  /health   200 while the detector's thread lives
    GET  /metrics  Prometheus text

    Args:
        detector: loaded, and used by nobody else meanwhile.
        limits: what the server takes on; by default those of `Limits`.
        name: of the model, for people.
        page: with the demo page at /, its samples and POST /explain.
    """
    service = DetectionService(detector, limits or Limits())

    async def detect(request: Request) -> Response:
        threshold = _number(request, "score_threshold", 0.3, 1.0)
        count = int(_number(request, "max_detections", 100, 1000))
        try:
            detections = await service.detect(request)
        except (Problem, HTTPException):
            raise
        except Exception as error:
            logger.exception("the detector failed")
            raise Problem(500, "detector_failed", f"the detector failed: {error}") from error
        return JSONResponse(as_json(detections, threshold, count))

    async def model(request: Request) -> Response:
        return JSONResponse(
            {
                "name": name,
                "classes": [
                    {"name": class_name, "colour": "rgb({}, {}, {})".format(*class_colour(label))}
                    for label, class_name in enumerate(detector.class_names)
                ],
                "explains": page and hasattr(detector, "explain"),
                "max_bytes": service.limits.max_bytes,
                "max_pixels": service.limits.max_pixels,
                "types": list(TYPES.values()),
            }
        )

    async def health(request: Request) -> Response:
        alive = service.queue.alive
        content = {"status": "ok" if alive else "failed", "model": name, "version": __version__}
        return JSONResponse(
            {**content, "device": str(detector.device), "waiting": len(service.queue)}, 200 if alive else 503
        )

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    routes = [
        Route("/detect", detect, methods=["POST"]),
        Route("/model", model),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    known = {route.path for route in routes} | {"/explain"}
    app = Starlette(
        routes=routes + (page_routes(service) if page else []),
        middleware=[Middleware(MeasureRequests, metrics=service.metrics, paths=known)],
        exception_handlers=dict.fromkeys((Problem, HTTPException, Exception), answer_problem),
        lifespan=lifespan,
    )
    app.state.connections = service.connections  # of the server that carries the app
    return app


def as_json(detections: Detections, score_threshold: float, max_detections: int) -> dict[str, Any]:
    """Width, height and the detections from a score on, best first."""
    content = detections.to_dict()
    content.pop("path")  # there is none on this side
    found = [row for row in content["detections"] if row["score"] >= score_threshold]
    return {**content, "detections": found[:max_detections]}


def _number(request: Request, name: str, default: float, largest: float) -> float:
    text = request.query_params.get(name, str(default))
    try:
        number = float(text)
        if not 0 <= number <= largest:
            raise ValueError(text)
    except ValueError as error:
        raise Problem(
            400, "bad_parameter", f"{name}={text}: it must be a number from 0 to {largest:g}"
        ) from error
    return number
