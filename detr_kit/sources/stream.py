"""All images of any mixture of sources, one after the other, read only when wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import InputError
from .image import load_image
from .kind import is_video
from .listing import expand
from .video import VideoReader

OnError = Callable[[str, InputError], None]


def iterate_images(
    source: Any, *, bgr: bool = False, on_error: OnError | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """(path, image) of every image and every video frame that a source names.

    Args:
        source: anything that `load_image` takes, a folder, a pattern, a video, a camera's number, or an
            iterable of those. A single source that is iterated over is never held as a whole.
        bgr: arrays are BGR.
        on_error: called with name and error of a bad image or video, which is then passed over; without it
            the error is raised.

    Yields:
        The path ("" for what has none) and (H, W, 3) uint8 RGB.

    Raises:
        InputError: a source that cannot be read, unless `on_error` is there to hear of it.
    """
    for index, item in enumerate(expand(source)):
        path = os.fspath(item) if isinstance(item, str | os.PathLike) else ""
        name = path or f"source[{index}]"
        try:
            if is_video(item):
                with VideoReader(item) as frames:
                    for frame in frames:
                        yield path, frame
            else:
                yield path, load_image(item, bgr=bgr, name=name)
        except InputError as error:
            if on_error is None:
                raise
            on_error(name, error)
