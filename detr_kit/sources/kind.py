"""What a source is: by its content, by what its server says, and by its name where there is neither."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..data.formats.image_files import SUFFIXES
from ..errors import InputError
from .web import content_type, is_web, path_of

IMAGE_SUFFIXES = tuple(sorted(SUFFIXES))
VIDEO_SUFFIXES = (
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".h264", ".hevc", ".ivf", ".m2ts", ".m2v", ".m3u8",
    ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogg",
    ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
)  # fmt: skip
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp", "mms", "mmsh")
_VIDEO_TYPES = (
    "video/",
    "multipart/x-mixed-replace",
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
)
# (place, bytes) that begin a container of video. OpenCV is not asked: it takes many a text for a film.
_CONTAINERS = (
    (0, b"\x1aE\xdf\xa3"), (0, b"FLV\x01"), (0, b"OggS"), (0, b"0&\xb2u\x8ef\xcf\x11"), (0, b".RMF"),
    (0, b"YUV4MPEG2 "), (0, b"DKIF"), (0, b"\x06\x0e+4\x02\x05\x01\x01\x0d\x01\x02"), (0, b"nut/multimedia"),
    (0, b"\x00\x00\x01\xba"), (0, b"\x00\x00\x01\xb3"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),
    (8, b"AVI "),
)  # fmt: skip
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1")


def is_image_name(name: str | Path) -> bool:
    """Whether a file's ending is one of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_video_name(name: str | Path) -> bool:
    """Whether a file's ending is one of a video."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def is_video(source: Any) -> bool:
    """Whether a source is a camera's number, a stream's address, or a video, wherever it lies.

    A file is judged by its ending and else by its first bytes. Of a web address that ends as neither an image
    nor a video the server is asked.
    """
    if is_live(source):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    if is_web(source):
        return _is_web_video(str(source))
    return is_video_name(Path(source)) or _begins_as_video(Path(source))


def is_live(source: Any) -> bool:
    """Whether a source goes on until it is stopped: a camera's number, or a stream's address."""
    if isinstance(source, int):
        return not isinstance(source, bool)
    if not isinstance(source, str):
        return False
    if source.lower().startswith(tuple(f"{scheme}://" for scheme in _STREAMS)):
        return True
    return is_web(source) and not is_named(source) and _says(source) == "multipart/x-mixed-replace"


def is_named(address: str) -> bool:
    """Whether an address ends as an image or a video does."""
    return is_image_name(path_of(address)) or is_video_name(path_of(address))


def _is_web_video(address: str) -> bool:
    if is_named(address):
        return is_video_name(path_of(address))
    return _says(address).startswith(_VIDEO_TYPES)


def _says(address: str) -> str:
    """The content type, "" where the server cannot be asked: reading it will say why."""
    try:
        return content_type(address)
    except InputError:
        return ""


def _begins_as_video(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(400)
    except (OSError, ValueError):  # no such file, or no name of one
        return False
    if start[4:8] == b"ftyp":
        return start[8:12] not in _IMAGE_BRANDS
    packets = any(start[first::size][:3] == b"GGG" for first, size in ((0, 188), (4, 192)))  # MPEG-TS, .mts
    return packets or any(start[place:].startswith(mark) for place, mark in _CONTAINERS)
