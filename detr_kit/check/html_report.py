"""The report as one HTML file, with pictures of the worst."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.image_io import read_image
from ..errors import InputError
from ..visualization import draw_boxes
from .finding import Example, Finding
from .report import Report, SplitReport, class_rows, left_out, size_rows

_SIDE = 520  # pixels of a picture's longer side in the report
_MAX_BOXES = 200
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1150px; padding: 0 1rem;
  color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } code { overflow-wrap: anywhere }
.finding { border-left: 6px solid; padding: .4rem 1rem; margin: 1rem 0; background: #f7f7f7 }
.error { border-color: #c62828 } .warning { border-color: #e69500 } .note { border-color: #1976d2 }
.error b.v { color: #c62828 } .warning b.v { color: #b26a00 } .note b.v { color: #1565c0 }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: .5rem 0; max-width: 340px }
figure img { max-width: 100% } figcaption { font-size: 12px; overflow-wrap: anywhere }
table { border-collapse: collapse; font-size: 14px } td, th { padding: 1px 10px 1px 0; text-align: right }
td.l, th.l { text-align: left } .bar { background: #7a9cc6; height: 11px; display: inline-block }
.columns { display: flex; flex-wrap: wrap; gap: 3rem; align-items: flex-start }
"""


def write_html(report: Report, path: str | Path) -> None:
    """Write a report that needs no other file.

    Raises:
        InputError: the place cannot be written.
    """
    title = f"detr-kit check: {report.title()}"
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"]
    parts += [f"<style>{_STYLE}</style><h1>{escape(title)}</h1>"]
    splits = {split.name: split for split in report.splits}
    for split_name, found in report.findings():
        parts.append(_finding(split_name, found, splits.get(split_name)))
    parts += [_numbers(split) for split in report.splits]
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: the report cannot be written: {error}") from error


def _finding(split_name: str, found: Finding, split: SplitReport | None) -> str:
    where = f"{escape(split_name)}: " if split_name else ""
    examples = "".join(f"<li><code>{escape(str(example))}</code></li>" for example in found.examples)
    pictures = "".join(_figures(found, split)) if split is not None else ""
    return (
        f'<div class="finding {found.verdict}"><b class=v>{found.verdict}</b> {where}'
        f"<b>{escape(found.title)}: {found.count}</b> ({found.name})<ul>{examples}</ul>"
        f"→ {escape(found.remedy)}<div class=pictures>{pictures}</div></div>"
    )


def _figures(found: Finding, split: SplitReport) -> Iterator[str]:
    """The pictures of the examples, one each, with their boxes."""
    shown: set[int] = set()
    for example in found.examples:
        if example.image is None or example.image in shown:
            continue
        shown.add(example.image)
        picture = draw_example(split, example, found.name)
        if picture is not None:
            caption = escape(str(example))
            yield f"<figure><img src='{_data_url(picture)}'><figcaption>{caption}</figcaption></figure>"


def draw_example(split: SplitReport, example: Example, name: str) -> Image.Image | None:
    """The picture of an example with its boxes, the one in question called by its fault; None without one."""
    if example.image is None:
        return None
    try:
        pixels = read_image(split.paths[example.image])
    except InputError:
        return None
    scale = min(_SIDE / max(pixels.shape[:2]), 4.0)
    height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
    small = np.array(Image.fromarray(pixels).resize((width, height)))
    table = split.table
    # The one in question is drawn last, on top: draw_boxes begins at the end of the list.
    own = np.flatnonzero(table.owner == example.image)[:_MAX_BOXES]
    rows = sorted(
        (int(row) for row in own if np.isfinite(table.xywh[row]).all()),
        key=lambda r: r != example.annotation,
    )
    boxes, labels, captions = [], [], []
    for row in rows:
        x, y, w, h = table.xywh[row] * scale
        corners = np.clip([x, y, x + w, y + h], -2.0 * _SIDE, 2.0 * _SIDE)
        boxes.append([float(v) for v in corners])
        labels.append(0 if row == example.annotation else int(table.label[row]) + 1)  # 0 is red
        captions.append(name if row == example.annotation else _class_name(split, row))
    return draw_boxes(small, boxes, labels, captions)


def _class_name(split: SplitReport, row: int) -> str:
    label = int(split.table.label[row])
    return str(split.table.categories[label].get("name")) if label >= 0 else "?"


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _numbers(split: SplitReport) -> str:
    numbers = split.statistics
    objects = numbers.objects_per_image
    most = max((row[2] for row in numbers.classes), default=0)
    classes = "".join(
        f"<tr><td><td class=l>… {left_out(numbers)} more"
        if row is None
        else f"<tr><td>{escape(str(row[0]))}<td class=l>{escape(row[1])}"
        f"<td>{row[2]}<td>{row[3]}<td class=l>{_bar(row[2], most)}"
        for row in class_rows(numbers)
    )
    sizes = "".join(
        f"<tr><td>{label}<td>{count}<td class=l>{_bar(count, max(numbers.box_sizes))}"
        for label, count in size_rows(numbers)
    )
    return (
        f"<h2>{escape(split.name)}</h2><code>{escape(split.source)}</code><p>{numbers.num_images} pictures "
        f"({split.num_read} read), {numbers.num_boxes} boxes, {numbers.num_crowd} crowd regions; objects per "
        f"picture {objects['min']:g} … {objects['max']:g}, median {objects['median']:g}, mean "
        f"{objects['mean']:.1f}</p><div class=columns>"
        f"<table><tr><th>id<th class=l>class<th>boxes<th>pictures<th>{classes}</table>"
        f"<table><tr><th>box side, pixels<th>boxes<th>{sizes}</table></div>"
    )


def _bar(count: int, most: int) -> str:
    return (
        f"<span class=bar style='width:{max(round(220 * count / most), 1)}px'></span>"
        if count and most
        else ""
    )
