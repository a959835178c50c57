"""Where images come from: one image of any kind, folders and patterns, videos and cameras."""

from .image import Source, load_image
from .kind import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image_name, is_live, is_video, is_video_name
from .listing import expand, is_single
from .stream import iterate_images
from .video import BrokenOff, VideoReader, VideoWriter
from .web import is_web, path_of

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
