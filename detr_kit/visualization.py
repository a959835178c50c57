"""Drawing detections on images."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def class_colour(label: int) -> tuple[int, int, int]:
    """A colour of its own for each label, neighbours far apart (golden-ratio hues)."""
    hue = (0.61803398875 * label + 0.02) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if label % 2 else 0.65, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_boxes(
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    captions: Sequence[str],
) -> Image.Image:
    """Boxes with captions on a copy of an image; line and letters grow with the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: xyxy in pixels; labels: for the colours; captions: the text of each.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    shorter = min(canvas.size)
    width = max(1, round(shorter / 250))
    font = ImageFont.load_default(size=max(9, round(shorter / 32)))
    # The least certain first, so that the best are on top.
    for box, label, caption in reversed(list(zip(boxes, labels, captions, strict=True))):
        x0, y0, x1, y1 = box
        colour = class_colour(label)
        draw.rectangle((x0, y0, max(x1, x0), max(y1, y0)), outline=colour, width=width)
        left, top, right, bottom = draw.textbbox((0, 0), caption, font=font)
        text_width, text_height = right - left + 2 * width, bottom - top + 2 * width
        x = min(max(x0, 0), max(canvas.width - text_width, 0))
        y = y0 - text_height if y0 >= text_height else min(y0, canvas.height - text_height)
        draw.rectangle((x, y, x + text_width, y + text_height), fill=colour)
        dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
        draw.text((x + width - left, y + width - top), caption, fill="black" if dark else "white", font=font)
    return canvas


def to_png(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def titled(image: Image.Image, title: str, size: int = 15) -> Image.Image:
    """An image under a line of text, which is cut where it is too long."""
    font = ImageFont.load_default(size=size)
    while title and font.getlength(title) > image.width - 8:
        title = title.removesuffix("…")[:-1].rstrip() + "…" if len(title) > 1 else ""
    canvas = Image.new("RGB", (image.width, image.height + size + 8), (255, 255, 255))
    ImageDraw.Draw(canvas).text((4, 2), title, fill="black", font=font)
    canvas.paste(image, (0, size + 8))
    return canvas


def image_grid(images: Sequence[Image.Image], columns: int, gap: int = 6) -> Image.Image:
    """Images of any size in a grid of equal white cells."""
    width, height = max(i.width for i in images), max(i.height for i in images)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), (255, 255, 255))
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.paste(image, (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet
