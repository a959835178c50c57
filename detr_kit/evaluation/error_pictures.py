"""Pictures of what a detector gets wrong: the confusion matrix, and its worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data import read_image
from ..visualization import draw_boxes, image_grid, titled
from .coco_evaluation import load_ground_truth
from .confusion import Confusion

_NUMBERS_UP_TO = 25  # classes; with more, the cells are too small to be read
_SIDE = 480  # pixels of the longer side in the sheet


def draw_confusion(confusion: Confusion, path: str | Path) -> None:
    """Rows are what it is, columns what it was taken for; colours are shares of a row, numbers are counts."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    names = [*confusion.names, "nothing"]
    shares = confusion.matrix / np.maximum(confusion.matrix.sum(1, keepdims=True), 1)
    side = min(max(4.0, 0.45 * len(names) + 2.0), 20.0)
    figure, axes = plt.subplots(figsize=(side + 1, side), constrained_layout=True)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the row")
    pairs = f"detections from score {confusion.score_threshold:g}, pairs from IoU {confusion.iou_threshold:g}"
    axes.set_title(pairs, fontsize=9)
    axes.set(xlabel="taken for", ylabel="is", xticks=range(len(names)), yticks=range(len(names)))
    size = 9 if len(names) <= _NUMBERS_UP_TO else 5
    axes.set_xticklabels(names, rotation=90, fontsize=size, parse_math=False)  # a $ is no formula
    axes.set_yticklabels(names, fontsize=size, parse_math=False)
    if len(names) <= _NUMBERS_UP_TO:
        for (row, column), count in np.ndenumerate(confusion.matrix):
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_worst_images(
    confusion: Confusion,
    annotations: str | Path,
    detections: Sequence[Mapping[str, Any]],
    paths: Mapping[int, str],
    path: str | Path,
    count: int = 6,
) -> int:
    """A sheet of the images with the most errors: ground truth on the left, detections on the right.

    Above each stands its file and how many objects and detections were wrong, above the detections from which
    score they are shown and their mean IoU with the objects that they were paired with.

    Args:
        paths: image id -> file.

    Returns:
        How many images were drawn; none where nothing is wrong.
    """
    truth = load_ground_truth(annotations)
    label_of_id = {
        c["id"]: i for i, c in enumerate(sorted(truth.loadCats(truth.getCatIds()), key=lambda c: c["id"]))
    }
    worst = sorted(
        (i for i, errors in confusion.errors.items() if errors), key=lambda i: -confusion.errors[i]
    )[:count]
    pictures: list[Image.Image] = []
    for image_id in worst:
        pixels = read_image(paths[image_id])
        objects = truth.loadAnns(truth.getAnnIds(imgIds=[image_id]))
        threshold = confusion.score_threshold
        found = [d for d in detections if d["image_id"] == image_id and d["score"] >= threshold]
        ious = confusion.ious[image_id]
        overlap = f", mean IoU {np.mean(ious):.2f}" if ious else ""
        file, errors = Path(paths[image_id]).name, confusion.errors[image_id]
        titles = (
            f"{file}: {_count(len(objects), 'object')}, {_count(errors, 'error')}",
            f"{_count(len(found), 'detection')} from score {threshold:g}{overlap}",
        )
        for items, title in zip((objects, sorted(found, key=lambda d: -d["score"])), titles, strict=True):
            pictures.append(titled(_with_boxes(pixels, items, confusion.names, label_of_id), title))
    if pictures:
        image_grid(pictures, columns=2).save(path)
    return len(worst)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _with_boxes(
    pixels: np.ndarray,
    items: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    label_of_id: Mapping[int, int],
) -> Image.Image:
    scale = _SIDE / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    resized = np.array(Image.fromarray(pixels).resize(size))
    labels = [label_of_id[item["category_id"]] for item in items]
    boxes = [[scale * v for v in (x, y, x + w, y + h)] for x, y, w, h in (item["bbox"] for item in items)]
    scores = [f" {item['score']:.2f}" if "score" in item else "" for item in items]
    captions = [names[label] + score for label, score in zip(labels, scores, strict=True)]
    return draw_boxes(resized, boxes, labels, captions)
