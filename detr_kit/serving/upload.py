"""From a request's body to an image, within the limits."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive

from ..data.image_io import decode_image
from ..errors import InputError
from .limits import Limits
from .problem import Problem

# What Pillow calls them -> what browsers do. Its other decoders have met few strangers.
TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The image file of a request: the first file of a multipart form, or else the body as it is.

    Raises:
        Problem: 413 where the body is larger than `max_bytes`, 400 where there is no file in it.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    # Counted as well, for a body may come in chunks of no stated length.
    request = Request(request.scope, _counted(request.receive, max_bytes))
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=8) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise Problem(400, "no_image", "the form has no file; send one: curl -F image=@photo.jpg …")
            data = await files[0].read()
    else:
        data = await request.body()
    if not data:
        raise Problem(400, "no_image", "the image is empty (0 bytes)")
    return data


def decode_upload(data: bytes, limits: Limits) -> np.ndarray:
    """An encoded image -> (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        Problem: 415 for no known image type, 413 for too many pixels (nothing is decoded), 400 for a damaged
            file.
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(TYPES)) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise Problem(413, "too_many_pixels", str(error)) from error
    except Exception as error:  # Pillow's readers raise anything on garbage
        names = ", ".join(TYPES)
        raise Problem(
            415, "not_an_image", f"the body ({len(data)} bytes) is no image of type {names}"
        ) from error
    if width * height > limits.max_pixels:
        raise Problem(
            413,
            "too_many_pixels",
            f"{width} × {height} pixels are more than the {limits.max_pixels:,} taken here; send it smaller",
        )
    try:
        return decode_image(data, "upload", apply_orientation=True)
    except InputError as error:
        raise Problem(400, "damaged_image", "the image is damaged or cut off; send the whole file") from error


def _counted(receive: Receive, max_bytes: int) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise _too_large(max_bytes)
        return message

    return counted


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "too_many_bytes", f"the body is larger than the {max_bytes:,} bytes taken here")
