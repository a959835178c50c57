"""Reading an image file as RGB, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..errors import InputError

# OpenCV decodes a truncated file without a word and leaves the rest grey. A file that ends as its format
# says is whole and takes the fast way; the others go through Pillow, which complains.
_WHOLE = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}


def read_image(path: str | Path, *, apply_orientation: bool = False) -> np.ndarray:
    """Decode an image file.

    Args:
        path: any format OpenCV or Pillow reads; 16-bit, grey and transparent images become 8-bit RGB.
        apply_orientation: turn the image as its EXIF orientation says. Training data is left as stored,
            because annotations are made for the stored pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: no such file, not an image, truncated, or of so many pixels that it may be made to
            exhaust the memory: more than twice PIL.Image.MAX_IMAGE_PIXELS, 179 million by default.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"image {path}: {error.strerror or error}") from error
    return decode_image(data, str(path), apply_orientation=apply_orientation)


def decode_image(data: bytes, name: str = "image", *, apply_orientation: bool = False) -> np.ndarray:
    """Decode an encoded image in memory; otherwise as `read_image`, `name` is for the error message."""
    if not data:
        raise InputError(f"image {name}: the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header, and refuses what claims to be huge
            if _is_whole(data):
                flags = cv2.IMREAD_COLOR | (0 if apply_orientation else cv2.IMREAD_IGNORE_ORIENTATION)
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
                if pixels is not None:
                    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
            image.load()
            return pil_to_rgb(ImageOps.exif_transpose(image) if apply_orientation else image)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"image {name}: {error}. Make it smaller or, where you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except (OSError, SyntaxError, ValueError, cv2.error) as error:
        reason = "truncated" if "truncated" in str(error) else "not an image that OpenCV or Pillow can read"
        raise InputError(
            f"image {name}: {reason} ({len(data)} bytes); replace the file or remove it from the data set"
        ) from error


def _is_whole(data: bytes) -> bool:
    trailer = next((end for start, end in _WHOLE.items() if data.startswith(start)), None)
    return trailer is not None and data.rstrip(b"\0\r\n ").endswith(trailer)


def pil_to_rgb(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode -> (H, W, 3) uint8 RGB.

    Raises:
        ValueError: floating-point pixels beyond 0 … 255.
    """
    if image.mode.startswith("I"):  # 16-bit grey: keep the high byte, as OpenCV does
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "F":  # floating-point TIFF: 0 … 1, or 0 … 255
        grey = np.asarray(image)
        if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 255:
            raise ValueError("floating-point pixels outside 0 … 255")
        grey = (grey * (255 if grey.max() <= 1 else 1)).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))
