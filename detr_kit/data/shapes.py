"""The embedded demo set: geometric shapes on textured backgrounds, in COCO format, from a seed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SHAPES = ("circle", "square", "triangle", "star", "ring")
_SUPERSAMPLING = 4  # drawn larger and shrunk: smooth edges


def write_shapes(
    folder: str | Path, num_train: int = 1500, num_val: int = 200, image_size: int = 128, seed: int = 0
) -> None:
    """Write `train/`, `val/`, `train.json` and `val.json` under a folder; the same for the same arguments.

    Args:
        folder: made where missing. A set of the same arguments that is there already is kept.
        num_train, num_val: images of each split.
        image_size: side of the square images, pixels.
        seed: of the random generator.
    """
    folder = Path(folder)
    for split, count, split_seed in (("train", num_train, 2 * seed), ("val", num_val, 2 * seed + 1)):
        info = {"description": f"detr-kit shapes: {split}, {count} images of {image_size} px, seed {seed}"}
        if _is_written(folder / f"{split}.json", info):
            continue
        (folder / split).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(split_seed)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id in range(1, count + 1):
            pixels, objects = _draw_scene(rng, image_size)
            name = f"{image_id:06d}.png"
            cv2.imwrite(str(folder / split / name), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            images.append({"id": image_id, "file_name": name, "width": image_size, "height": image_size})
            for category, (x0, y0, x1, y1) in objects:
                box = [x0, y0, x1 - x0, y1 - y0]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": category + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(SHAPES)]
        data = {"info": info, "images": images, "annotations": annotations, "categories": categories}
        # Written last: a set cut off half-way is drawn again.
        (folder / f"{split}.json").write_text(json.dumps(data))


def _is_written(path: Path, info: dict[str, str]) -> bool:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("info") == info
    except (OSError, ValueError):
        return False


def _draw_scene(
    rng: np.random.Generator, size: int
) -> tuple[np.ndarray, list[tuple[int, tuple[int, int, int, int]]]]:
    """One image (size, size, 3) uint8 and its objects (category, xyxy in pixels)."""
    canvas = _background(rng, size)
    objects: list[tuple[int, tuple[int, int, int, int]]] = []
    for _ in range(rng.integers(1, 7)):
        category = int(rng.integers(len(SHAPES)))
        for _attempt in range(20):
            radius = rng.uniform(0.07, 0.2) * size
            centre = rng.uniform(radius + 1, size - radius - 1, 2)
            mask = _shape_mask(SHAPES[category], centre, radius, rng.uniform(0, 2 * math.pi), size)
            ys, xs = np.nonzero(mask > 0.5)
            box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
            if all(_overlap(box, other) < 0.1 for _, other in objects):
                break
        else:
            continue
        colour = rng.uniform(0, 255, 3)
        while np.abs(colour - canvas[mask > 0.5].mean(0)).max() < 70:  # visible on its background
            colour = rng.uniform(0, 255, 3)
        shaded = colour * rng.uniform(0.85, 1.15, (size, size, 1))
        canvas = canvas * (1 - mask[..., None]) + shaded * mask[..., None]
        objects.append((category, box))
    return canvas.clip(0, 255).astype(np.uint8), objects


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth coloured noise at a few scales."""
    canvas = np.full((size, size, 3), rng.uniform(60, 200, 3))
    for cells, strength in ((3, 45), (8, 25), (size // 2, 10)):
        noise = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        canvas += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return canvas.clip(0, 255)


def _shape_mask(shape: str, centre: np.ndarray, radius: float, angle: float, size: int) -> np.ndarray:
    """(size, size) coverage in [0, 1]."""
    large = np.zeros((size * _SUPERSAMPLING,) * 2, np.uint8)
    if shape in ("circle", "ring"):
        point = tuple(int(v) for v in np.round(centre * _SUPERSAMPLING))
        cv2.circle(large, point, round(radius * _SUPERSAMPLING), 255, -1)
        if shape == "ring":
            cv2.circle(large, point, round(radius * 0.55 * _SUPERSAMPLING), 0, -1)
    else:
        corners = {"square": 4, "triangle": 3, "star": 10}[shape]
        turn = angle + np.arange(corners) * 2 * math.pi / corners
        reach = np.where(np.arange(corners) % 2, 0.45, 1.0) if shape == "star" else np.ones(corners)
        points = centre + radius * reach[:, None] * np.stack((np.cos(turn), np.sin(turn)), axis=1)
        cv2.fillPoly(large, [np.round(points * _SUPERSAMPLING).astype(np.int32)], 255)
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over the smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0) * max(height, 0) / smaller
