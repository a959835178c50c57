"""Figures of explanations, for a paper or a slide."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from .attention import DeformableAttention, GlobalAttention
from .record import Record

# Finest level first: colours that also colour-blind readers tell apart (IBM's palette, and grey).
LEVEL_COLOURS = ("#648fff", "#ffb000", "#dc267f", "#00b391", "#fe6100", "#785ef0", "#7f7f7f")
HEAD_COLOURS = tuple(matplotlib.colormaps["tab10"](index) for index in range(10))
BOX_COLOUR = "#ff2d2d"
_DPI = 150
_LABEL = dict(facecolor="white", alpha=0.7, edgecolor="none", pad=1)


def draw(explanation: Record, layer: int) -> Image.Image:
    """The figure of a detection with the attention of a decoder layer."""
    if isinstance(explanation.attention, DeformableAttention):
        return _draw_points(explanation, explanation.attention, layer)
    return _draw_maps(explanation, explanation.attention, layer)


def _draw_points(explanation: Record, attention: DeformableAttention, layer: int) -> Image.Image:
    """The image, its surroundings with sampling points by level and by head, and the box's path."""
    height, width = explanation.image.shape[:2]
    points = attention.points[layer] * torch.tensor([width, height])
    weights = attention.weights[layer]
    window = _window(explanation, points, weights)
    reference = attention.references[layer]
    figure, axes = _panels(explanation)
    _whole_image(axes[0], explanation, window)
    names = [f"level {i + 1}" for i in range(max(attention.levels) + 1)]
    names[0], names[-1] = f"{names[0]} (finest)", f"{names[-1]} (coarsest)" if len(names) > 1 else names[-1]
    heads = [f"head {i + 1}" for i in range(points.shape[0])]
    levels_of = torch.tensor(attention.levels)[None, :, None].expand_as(weights)
    heads_of = torch.arange(points.shape[0])[:, None, None].expand_as(weights)
    for axis, title, groups, colours, labels in (
        (axes[1], "by level", levels_of, LEVEL_COLOURS, names),
        (axes[2], "by head", heads_of, HEAD_COLOURS, heads),
    ):
        _zoomed(axis, explanation, window)
        axis.set_title(f"Sampling points {title}")
        _scatter(axis, points, weights, groups, colours)
        _draw_box(axis, explanation.boxes[-1], BOX_COLOUR)
        _draw_reference(axis, reference, (width, height))
        entries = [_dot(colours[i % len(colours)], name) for i, name in enumerate(labels)]
        _legend(axis, [*entries, _cross("reference")])
    _box_path(axes[3], explanation, window, attention.references[0])
    note = f"decoder layer {layer + 1} of {len(explanation.boxes)}; area of a dot: its attention weight"
    return _finish(figure, note + ("; dotted: the box it started from" if len(reference) == 4 else ""))


def _draw_maps(explanation: Record, attention: GlobalAttention, layer: int) -> Image.Image:
    """The image, the attention map of all heads together and of each, and the box's path."""
    maps = attention.maps[layer]
    figure, axes = _panels(explanation)
    height, width = explanation.image.shape[:2]
    window = (0.0, 0.0, float(width), float(height))
    _whole_image(axes[0], explanation, None)
    _heat(axes[1], explanation, maps.mean(0))
    axes[1].set_title("Attention, mean of all heads")
    _draw_box(axes[1], explanation.boxes[-1], BOX_COLOUR)
    strip = axes[1].inset_axes((0.15, -0.06, 0.7, 0.03))
    bar = figure.colorbar(ScalarMappable(cmap="inferno"), cax=strip, orientation="horizontal")
    bar.set_ticks([0, 1], labels=["0", f"{float(maps.mean(0).max()):.2g}"], fontsize=8)
    bar.outline.set_visible(False)
    axes[2].set_title("Attention of each head")
    columns = int(np.ceil(np.sqrt(len(maps))))
    rows = -(-len(maps) // columns)
    for index, head in enumerate(maps):
        row, column = divmod(index, columns)
        cell = axes[2].inset_axes((column / columns, 1 - (row + 1) / rows, 0.97 / columns, 0.97 / rows))
        _heat(cell, explanation, head)
        _draw_box(cell, explanation.boxes[-1], BOX_COLOUR, 1)
        cell.text(0.03, 0.97, str(index + 1), transform=cell.transAxes, va="top", fontsize=7, bbox=_LABEL)
        _bare(cell)
    axes[2].set_aspect(height / width)
    axes[2].set_axis_off()
    _box_path(axes[3], explanation, window, None)
    return _finish(figure, f"decoder layer {layer + 1} of {len(explanation.boxes)}")


def _panels(explanation: Record, count: int = 4) -> tuple[Figure, list[Axes]]:
    """Panels side by side, as high as the image needs, with room for titles and legends."""
    height, width = explanation.image.shape[:2]
    panel = 3.25  # inches
    tall = panel * min(max(height / width, 0.6), 1.6)
    figure = Figure(figsize=(count * (panel + 0.1) + 0.1, tall + 1.55), dpi=_DPI)
    inches = figure.get_size_inches()
    axes = []
    for index in range(count):
        left = 0.1 + index * (panel + 0.1)
        axes.append(figure.add_axes((left / inches[0], 0.9 / inches[1], panel / inches[0], tall / inches[1])))
        _bare(axes[-1])
    figure.suptitle(
        f"{explanation.class_name}  {explanation.score:.2f}",
        parse_math=False,
        y=1 - 0.08 / inches[1], fontsize=14, fontweight="bold", color="#222222",
    )  # fmt: skip
    return figure, axes


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _window(explanation: Record, points: Tensor, weights: Tensor) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around the box and nearly all of the attention, of the image's shape and within it."""
    height, width = explanation.image.shape[:2]
    seen = points[weights > 0.25 * weights.mean()].reshape(-1, 2)
    corners = [explanation.boxes[-1].reshape(2, 2), seen.quantile(torch.tensor([0.05, 0.95]), dim=0)]
    low, high = torch.cat(corners).amin(0), torch.cat(corners).amax(0)
    size = torch.tensor([width, height], dtype=torch.float32)
    share = min(max(float(((high - low) / size).amax()) * 1.25, 0.2), 1.0)
    half = size * share / 2
    centre = torch.minimum(torch.maximum((low + high) / 2, half), size - half)
    (x0, y0), (x1, y1) = (centre - half).tolist(), (centre + half).tolist()
    return x0, y0, x1, y1


def _show_image(axis: Axes, image: np.ndarray, faded: float = 0.0) -> None:
    """The image; faded towards grey and white so that marks stand out."""
    pixels = image / 255
    grey = pixels.mean(-1, keepdims=True)
    pixels = (1 - faded) * pixels + faded * (0.5 * grey + 0.5)
    height, width = image.shape[:2]
    axis.imshow(pixels, extent=(0, width, height, 0), interpolation="bicubic")


def _zoomed(axis: Axes, explanation: Record, window: tuple[float, float, float, float]) -> None:
    _show_image(axis, explanation.image, faded=0.55)
    axis.set_xlim(window[0], window[2])
    axis.set_ylim(window[3], window[1])


def _whole_image(axis: Axes, explanation: Record, window: tuple[float, float, float, float] | None) -> None:
    _show_image(axis, explanation.image)
    axis.set_title(f"Detection (query {explanation.query})")
    _draw_box(axis, explanation.boxes[-1], BOX_COLOUR)
    entries = [Line2D([], [], color=BOX_COLOUR, lw=2, label="final box")]
    if window is not None:
        _draw_box(axis, torch.tensor(window), "white", 1.2, linestyle=(0, (4, 3)))
        entries.append(
            Line2D([], [], color="#777777", lw=1.2, ls=(0, (4, 3)), label="part shown at the right")
        )
    _legend(axis, entries)


def _draw_box(axis: Axes, box: Tensor, colour: object, linewidth: float = 2, **style: Any) -> None:
    x0, y0, x1, y1 = box.tolist()
    patch = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=linewidth, **style)
    axis.add_patch(patch)


def _scatter(axis: Axes, points: Tensor, weights: Tensor, groups: Tensor, colours: tuple) -> None:
    """The heaviest points last, on top."""
    order = weights.flatten().argsort()
    xy, weight = points.reshape(-1, 2)[order], weights.flatten()[order]
    chosen = [colours[int(g) % len(colours)] for g in groups.flatten()[order]]
    axis.scatter(
        xy[:, 0], xy[:, 1], s=(weight / weight.max() * 130).clamp(min=2), c=chosen, alpha=0.85,
        edgecolors="white", linewidths=0.6, zorder=3,
    )  # fmt: skip


def _draw_reference(axis: Axes, reference: Tensor, size: tuple[int, int]) -> None:
    """A reference point, or the centre of a reference box and the box."""
    x, y = float(reference[0]) * size[0], float(reference[1]) * size[1]
    if len(reference) == 4:
        sides = reference[2:] * torch.tensor(size)
        corner = torch.tensor([x, y]) - sides / 2
        _draw_box(axis, torch.cat([corner, corner + sides]), "black", 1, linestyle=":", zorder=4)
    axis.plot([x], [y], marker="P", markersize=11, color="black", markeredgecolor="white", zorder=4)


def _box_path(
    axis: Axes,
    explanation: Record,
    window: tuple[float, float, float, float],
    start: Tensor | None,
) -> None:
    """The box after each layer, from light to dark, and what the first layer started from."""
    _zoomed(axis, explanation, window)
    axis.set_title("The box, layer by layer")
    layers = len(explanation.boxes)
    shades = matplotlib.colormaps["YlOrRd"](np.linspace(0.35, 0.95, layers))
    entries = []
    for index, (box, shade) in enumerate(zip(explanation.boxes, shades, strict=True)):
        _draw_box(axis, box, shade, 1.4 + 1.4 * (index + 1) / layers, zorder=3)
        entries.append(Line2D([], [], color=shade, lw=2, label=f"layer {index + 1}"))
    if start is not None:
        height, width = explanation.image.shape[:2]
        _draw_reference(axis, start, (width, height))
        entries.append(_cross("first reference"))
    _legend(axis, entries)


def _heat(axis: Axes, explanation: Record, attention: Tensor) -> None:
    """A map over the image: opaque where attention is, clear where none is."""
    height, width = explanation.image.shape[:2]
    _show_image(axis, explanation.image, faded=0.5)
    smooth = F.interpolate(attention[None, None], (256, 256), mode="bicubic")[0, 0].clamp(min=0)
    share = (smooth / smooth.max()).numpy()
    extent = (0, width, height, 0)
    axis.imshow(share, extent=extent, cmap="inferno", vmin=0, vmax=1, alpha=0.9 * share**0.5)


def _dot(colour: object, label: str) -> Line2D:
    return Line2D([], [], ls="", marker="o", color=colour, markeredgecolor="white", label=label)


def _cross(label: str) -> Line2D:
    return Line2D(
        [], [], ls="", marker="P", color="black", markersize=8, markeredgecolor="white", label=label
    )


def _legend(axis: Axes, entries: list[Line2D]) -> None:
    axis.legend(
        handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False, fontsize=8,
        handletextpad=0.4, columnspacing=1.0,
    )  # fmt: skip


def _finish(figure: Figure, note: str) -> Image.Image:
    figure.text(0.5, 0.08 / figure.get_size_inches()[1], note, ha="center", fontsize=9, color="#555555")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
