"""Reading an image file as RGB, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError
from .deep_pixels import OutOfRangeError, PixelRange, float_to_8_bit, to_8_bit

# OpenCV decodes a truncated file without a word and leaves the rest grey. A file that ends as its format
# says is whole and takes the fast way; the others go through Pillow, which complains.
_BITS_PER_SAMPLE = 258
_TIFF = (b"II*\0", b"MM\0*")
_WHOLE = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}


def read_image(path: str | Path, *, apply_orientation: bool = False) -> np.ndarray:
    """Decode an image file.

    Args:
        path: any format OpenCV or Pillow reads; grey, transparent and 16-bit images become 8-bit RGB. Values
            in a 16-bit file count as 8, 10, 12, 14 or 16 bits, the fewest that hold the file's highest, and
            the highest 8 of these bits are kept (see `to_8_bit`). Floating-point pixels (TIFF) are of
            0 … 1 or 0 … 255.
        apply_orientation: turn the image as its EXIF orientation says. Training data is left as stored,
            because annotations are made for the stored pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: no such file, not an image, truncated, pixels of another range, or so many that they may
            be made to exhaust the memory: more than twice PIL.Image.MAX_IMAGE_PIXELS, 179 million by default.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"image {path}: {error.strerror or error}") from error
    return decode_image(data, str(path), apply_orientation=apply_orientation)


def decode_image(data: bytes, name: str = "image", *, apply_orientation: bool = False) -> np.ndarray:
    """Decode an encoded image in memory; otherwise as `read_image`, `name` is for the error message."""
    return decode_deep_image(data, name, apply_orientation=apply_orientation)[0]


def decode_deep_image(
    data: bytes, name: str = "image", *, apply_orientation: bool = False
) -> tuple[np.ndarray, PixelRange | None]:
    """As `decode_image`, and the range that a 16-bit file's values were taken for, None for other files."""
    if not data:
        raise InputError(f"image {name}: the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header, and refuses what claims to be huge
            if _is_whole(data) or _has_deep_channels(image):
                flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
                flags |= 0 if apply_orientation else cv2.IMREAD_IGNORE_ORIENTATION
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
                if pixels is not None:
                    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
                    return (rgb, None) if rgb.dtype == np.uint8 else to_8_bit(rgb, f"image {name}")
            image.load()
            return _from_pil(ImageOps.exif_transpose(image) if apply_orientation else image, f"image {name}")
    except Image.DecompressionBombError as error:
        raise InputError(
            f"image {name}: {error}. Make it smaller or, where you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except OutOfRangeError as error:
        raise InputError(f"image {name}: {error}") from error
    except (OSError, SyntaxError, ValueError, cv2.error) as error:
        if data.startswith(_TIFF) and isinstance(error, UnidentifiedImageError):
            raise InputError(
                f"image {name}: a TIFF whose kind of pixels is not read ({len(data)} bytes); save it with 8 "
                "or 16 bits a channel, or as one channel of 32-bit floating point"
            ) from error
        reason = "truncated" if "truncated" in str(error) else "not an image that OpenCV or Pillow can read"
        raise InputError(
            f"image {name}: {reason} ({len(data)} bytes); replace the file or remove it from the data set"
        ) from error


def _is_whole(data: bytes) -> bool:
    trailer = next((end for start, end in _WHOLE.items() if data.startswith(start)), None)
    return trailer is not None and data.rstrip(b"\0\r\n ").endswith(trailer)


def _has_deep_channels(image: Image.Image) -> bool:
    """Whether it is a TIFF of several channels of 16 bits, of which Pillow keeps the high bytes alone."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return len(bits) > 1 and set(bits) == {16}


def pil_to_rgb(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode -> (H, W, 3) uint8 RGB; 16-bit and floating-point pixels as in `read_image`.

    Raises:
        ValueError: pixels of another range.
    """
    return _from_pil(image, "image")[0]


def _from_pil(image: Image.Image, name: str) -> tuple[np.ndarray, PixelRange | None]:
    if not image.mode.startswith(("I", "F")):
        return np.array(image.convert("RGB")), None
    pixels = np.asarray(image)
    grey, found = (float_to_8_bit(pixels), None) if image.mode == "F" else to_8_bit(pixels, name)
    return np.repeat(grey[..., None], 3, axis=2), found
