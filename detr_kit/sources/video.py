"""Videos and cameras, a frame at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from ..errors import InputError

OPEN_TIMEOUT, READ_TIMEOUT = 30_000, 30_000
"""Milliseconds that an address may take to answer, and that it may be silent then."""
# Files state how many frames they have, some as an estimate: what is missing has to be more than that errs.
_FRAMES_ASTRAY, _SHARE_ASTRAY = 2, 0.05


class BrokenOff(InputError):
    """A video ended long before its stated end; all frames up to there were given."""


class VideoReader:
    """The frames of a video file, stream or camera; a context manager that closes it.

    Args:
        source: a path, an rtsp:// or http:// address, or a camera's number.

    Attributes:
        fps: frames a second, 25 where the source does not say.
        num_frames: as the file states it, 0 where it does not (a camera).
        live: a camera or stream, which goes on until it is stopped.

    Raises:
        InputError: no such file, or OpenCV cannot open it; on iteration, no frame can be decoded.
        BrokenOff: on iteration, after the last frame, where many more were stated.
    """

    def __init__(self, source: str | Path | int) -> None:
        self.source = source
        is_address = "://" in str(source)
        if not isinstance(source, int) and not is_address and not Path(str(source)).is_file():
            raise InputError(f"video {source}: no such file")
        self._capture = _open_capture(source, is_address)
        if not self._capture.isOpened():
            what = f"camera {source}" if isinstance(source, int) else f"video {source}"
            raise InputError(f"{what}: OpenCV cannot open it; is it there, and in a format it reads?")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else 25.0
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(count) if 0 < count < 1e9 else 0
        self.live = isinstance(source, int) or (is_address and not self.num_frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB frames until the end."""
        read = 0
        while True:
            there, frame = self._capture.read()
            if not there:
                break
            read += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if not read:
            raise InputError(f"video {self.source}: no frame of it can be decoded")
        if self.num_frames - read > max(_FRAMES_ASTRAY, _SHARE_ASTRAY * self.num_frames):
            raise BrokenOff(
                f"video {self.source}: {read} of {self.num_frames} frames could be read; it is cut off or "
                "damaged there"
            )

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()


def _open_capture(source: str | Path | int, is_address: bool) -> cv2.VideoCapture:
    if isinstance(source, int):
        return cv2.VideoCapture(source)
    if not is_address:
        return cv2.VideoCapture(str(source))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT]
    return cv2.VideoCapture(str(source), cv2.CAP_FFMPEG, limits)


class VideoWriter:
    """Writes frames to an .mp4 that has its name only when it is whole; a context manager.

    Args:
        path: the file to make; until then frames go to a hidden file beside it.
        fps: frames a second.
        keep_unfinished: keep what was written before an error or Ctrl-C, as for a camera, which has no end.

    Raises:
        InputError: OpenCV cannot write there.
    """

    def __init__(self, path: str | Path, fps: float, keep_unfinished: bool = False) -> None:
        self.path, self.fps, self.keep_unfinished = Path(path), fps, keep_unfinished
        self._partial = self.path.with_name(f".partial.{self.path.name}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB; all frames have the size of the first."""
        if self._writer is None:
            # mp4v wants even sides: the last row or column goes.
            self._size = (max(frame.shape[1] & ~1, 2), max(frame.shape[0] & ~1, 2))
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"video {self.path}: it cannot be written: {error.strerror}") from error
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._partial), codec, self.fps, self._size)
            if not self._writer.isOpened():
                raise InputError(f"video {self.path}: OpenCV cannot write it; is the folder writable?")
        width, height = self._size
        if frame.shape[0] < height or frame.shape[1] < width:
            frame = cv2.resize(frame, self._size)
        self._writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None or self.keep_unfinished:
            os.replace(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)
