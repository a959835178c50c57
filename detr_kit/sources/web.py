"""Addresses on the web: what is behind one, and fetching it within bounds."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from functools import lru_cache
from urllib.parse import urlsplit

from ..errors import InputError

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
MAX_SECONDS = 120.0
"""Seconds in which an image has to be there."""
MAX_DOWNLOAD = 256 * 2**20
"""Bytes of the largest image that is fetched."""
_PAGE = 2**16


def is_web(source: object) -> bool:
    """Whether a source is an http(s) address."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def path_of(address: str) -> str:
    """The path of an address, without `?token=…`."""
    return urlsplit(address).path


@lru_cache(maxsize=4096)
def content_type(url: str) -> str:
    """What a server says is behind an address: "image/jpeg", "video/mp4", "multipart/x-mixed-replace", ….

    Raises:
        InputError: it cannot be asked.
    """
    with _open(url) as response:
        return response.headers.get_content_type()


def download(url: str) -> bytes:
    """The bytes behind an address.

    Raises:
        InputError: it cannot be fetched, is a stream or a video, or is too large or too slow.
    """
    end = time.monotonic() + MAX_SECONDS
    data = bytearray()
    with _open(url) as response:
        kind = response.headers.get_content_type()
        if kind.startswith(("multipart/", "video/")):
            raise InputError(f"image {url}: the server sends {kind}, no single image; use stream() for it")
        try:
            while page := response.read1(_PAGE):
                data += page
                if len(data) > MAX_DOWNLOAD:
                    raise InputError(
                        f"image {url}: more than {MAX_DOWNLOAD >> 20} MiB; fetch it and give the file"
                    )
                if time.monotonic() > end:
                    raise InputError(
                        f"image {url}: not all there after {MAX_SECONDS:g} s; fetch it and give the file"
                    )
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"image {url}: it cannot be fetched: {error}") from error
    return bytes(data)


def _open(url: str) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(url, timeout=TIMEOUT)
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise InputError(f"image {url}: it cannot be fetched: {error}") from error
