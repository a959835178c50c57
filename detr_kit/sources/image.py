"""One image of any kind as RGB bytes: path, URL, encoded bytes, open file, PIL image, array or tensor."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from ..data.image_io import decode_image, pil_to_rgb, read_image
from ..errors import InputError
from .web import download, is_web

Source = str | Path | bytes | BinaryIO | Image.Image | np.ndarray | Tensor


def load_image(source: Any, *, bgr: bool = False, name: str = "image") -> np.ndarray:
    """Any source -> (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Args:
        source: path, http(s) URL, encoded bytes, open binary file or upload (anything with `read`; from its
            beginning where it can be wound back), PIL image, array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4),
            tensor (1, H, W) or (3, H, W). Arrays and tensors are uint8, uint16, or floating point in [0, 1].
        bgr: arrays are BGR, as OpenCV has them.
        name: what the error message calls a source without a path.

    Raises:
        InputError: not an image, truncated, or larger than Pillow's limit against decompression bombs.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_image(bytes(source), name, apply_orientation=True)
    if isinstance(source, str | os.PathLike):
        if is_web(source):
            return decode_image(download(str(source)), str(source), apply_orientation=True)
        if Path(source).is_dir():
            raise InputError(f"image {source}: a folder, where one image is wanted; name a file in it")
        return read_image(Path(source), apply_orientation=True)
    if hasattr(source, "read"):
        return decode_image(_bytes_of(source, name), name, apply_orientation=True)
    if isinstance(source, Image.Image):
        return _from_pil(source, name)
    if isinstance(source, Tensor):
        if source.dim() != 3 or source.shape[0] not in (1, 3):
            raise InputError(f"{name}: a tensor of shape {tuple(source.shape)}; it must be (3, H, W)")
        source = source.detach().cpu().permute(1, 2, 0)
        source = (source.float() if source.is_floating_point() else source).numpy()
    if isinstance(source, np.ndarray):
        return _from_array(source, bgr, name)
    raise InputError(
        f"{name}: a {type(source).__name__} is no path, bytes, open file, PIL image, array or tensor"
    )


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    try:
        return pil_to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow reads a file's pixels only when they are wanted.
        raise InputError(f"{name}: the PIL image cannot be read: {error}") from error


def _from_array(array: np.ndarray, bgr: bool, name: str) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(
            f"{name}: an array of shape {array.shape}; it must be (H, W), (H, W, 3) or (H, W, 4)"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError(
                f"{name}: a {array.dtype} array with values outside [0, 1]; give uint8 in 0 … 255 or floats "
                "in 0 … 1, not normalised"
            )
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)  # the high byte, as for 16-bit files
    elif array.dtype != np.uint8:
        raise InputError(
            f"{name}: a {array.dtype} array; it must be uint8, uint16, or floating point in [0, 1]"
        )
    array = array.repeat(3, axis=2) if array.shape[2] == 1 else array[..., :3]
    return np.ascontiguousarray(array[..., ::-1] if bgr else array)


def _bytes_of(file: Any, name: str) -> bytes:
    """All of an open file."""
    try:
        if not hasattr(file, "seekable") or file.seekable():
            file.seek(0)  # whoever has just written it stands at its end
    except (AttributeError, OSError, ValueError, TypeError):
        pass  # it is read from where it stands
    try:
        data = file.read()
    except (OSError, ValueError, TypeError) as error:  # closed, or it wants an argument
        raise InputError(f"{name}: the file cannot be read: {error}") from error
    if inspect.iscoroutine(data):
        data.close()
        raise InputError(
            f"{name}: read() of this {type(file).__name__} is asynchronous; give await file.read()"
        )
    if not isinstance(data, bytes | bytearray | memoryview):
        hint = '; open it with mode "rb"' if isinstance(data, str) else ""
        raise InputError(
            f"{name}: read() of this {type(file).__name__} gives a {type(data).__name__}, not bytes{hint}"
        )
    return bytes(data)
