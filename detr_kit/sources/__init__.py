"""Where images come from: one image of any kind, folders and patterns, videos and cameras."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .image import Source, load_image
    from .kind import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image_name, is_live, is_video, is_video_name
    from .listing import expand, is_single
    from .stream import iterate_images
    from .video import BrokenOff, VideoReader, VideoWriter
    from .web import is_web, path_of
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "image": ["Source", "load_image"],
            "kind": [
                "IMAGE_SUFFIXES",
                "VIDEO_SUFFIXES",
                "is_image_name",
                "is_live",
                "is_video",
                "is_video_name",
            ],
            "listing": ["expand", "is_single"],
            "stream": ["iterate_images"],
            "video": ["BrokenOff", "VideoReader", "VideoWriter"],
            "web": ["is_web", "path_of"],
        },
    )

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "BrokenOff",
    "Source",
    "VideoReader",
    "VideoWriter",
    "expand",
    "is_image_name",
    "is_live",
    "is_single",
    "is_video",
    "is_video_name",
    "is_web",
    "iterate_images",
    "load_image",
    "path_of",
]
