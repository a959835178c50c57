"""Where images come from: one image of any kind, folders and patterns, videos and cameras."""

from .image import Source, load_image
from .listing import IMAGE_SUFFIXES, VIDEO_SUFFIXES, expand, is_image_name, is_single, is_video
from .stream import iterate_images
from .video import VideoReader, VideoWriter

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Source",
    "VideoReader",
    "VideoWriter",
    "expand",
    "is_image_name",
    "is_single",
    "is_video",
    "iterate_images",
    "load_image",
]
