"""A window that shows pictures."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np
from PIL import Image

from ..errors import InputError


class WindowClosed(Exception):
    """The user pressed q or Escape."""


class Window:
    """Pictures one after the other in one window.

    Raises:
        InputError: there is no screen.
    """

    TITLE = "detr-kit (q ends)"

    def __init__(self) -> None:
        # Without a screen OpenCV's window system ends the whole process instead of raising.
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError("--show: there is no screen here; leave it out and look at the files")

    def show(self, picture: Image.Image, wait: bool = False) -> None:
        """Show a picture; with `wait` until a key is pressed.

        Raises:
            WindowClosed: the key was q or Escape.
            InputError: OpenCV was built without windows.
        """
        try:
            cv2.imshow(self.TITLE, cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR))
            key = cv2.waitKey(0 if wait else 1) & 0xFF
        except cv2.error as error:
            raise InputError("--show: this OpenCV has no windows; install opencv-python") from error
        if key in (ord("q"), 27):
            raise WindowClosed
