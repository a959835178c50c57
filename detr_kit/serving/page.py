"""The demo page: its files, sample images, and the explanation of a detection."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ..data import write_shapes
from ..errors import InputError
from .problem import Problem
from .service import DetectionService

FILES = Path(__file__).parent / "static"
NUM_SAMPLES = 6
# Nothing from elsewhere, nothing inline: what an image's name says cannot become a script.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page_routes(service: DetectionService) -> list[BaseRoute]:
    """The page at /, its files, its samples, and, of a detector that can, POST /explain?detection=N.

    That gives a PNG picture of where the detector looked in the posted image; 0 is its best detection.
    """
    samples = _draw_samples()
    detector: Any = service.detector

    async def index(request: Request) -> Response:
        return FileResponse(FILES / "index.html", headers=HEADERS)

    async def sample_list(request: Request) -> Response:
        return JSONResponse([f"/samples/{number}.png" for number in range(len(samples))])

    async def sample(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(samples):
            raise Problem(404, "not_found", f"sample {number}: there are {len(samples)}, numbered from 0")
        return Response(samples[number], media_type="image/png")

    async def explain(request: Request) -> Response:
        number = request.query_params.get("detection", "")
        if not number.isdecimal():
            raise Problem(400, "bad_parameter", f"detection={number}: it must be a number, 0 for the best")

        def draw(image: np.ndarray) -> bytes:
            file = io.BytesIO()
            detector.explain(image, detection=int(number)).plot().save(file, "PNG")
            return file.getvalue()

        try:
            picture = await service.run_alone(request, draw)
        except InputError as error:
            raise Problem(400, "no_explanation", str(error)) from error
        return Response(picture, media_type="image/png")

    routes: list[BaseRoute] = [
        Route("/", index),
        Mount("/static", StaticFiles(directory=FILES)),
        Route("/samples", sample_list),
        Route("/samples/{number:int}.png", sample),
    ]
    if hasattr(detector, "explain"):
        routes.append(Route("/explain", explain, methods=["POST"]))
    return routes


def _draw_samples() -> list[bytes]:
    """PNG files of rendered shapes, what the detector that comes along has learnt."""
    with tempfile.TemporaryDirectory() as folder:
        write_shapes(folder, num_train=0, num_val=NUM_SAMPLES, seed=48)
        return [path.read_bytes() for path in sorted(Path(folder, "val").glob("*.png"))]
