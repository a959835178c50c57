"""A COCO annotation file, checked and packed into arrays."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..categories import UNUSED, Categories
from ..errors import InputError


@dataclass(frozen=True)
class CocoAnnotations:
    """All images and boxes of an annotation file; arrays, so that workers share them without copies.

    Attributes:
        path: the file.
        image_ids: (I,) int64; file_names: I strings; sizes: (I, 2) int32 (height, width).
        boxes: (A, 4) float32 xyxy in pixels, clipped to the image, grouped by image.
        category_ids: (A,) int64; crowd: (A,) bool.
        starts: (I + 1,) where the boxes of each image begin.
        categories: the file's list, as it stands.
        num_empty_boxes: boxes without area that were left out.
    """

    path: str
    image_ids: np.ndarray
    file_names: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    category_ids: np.ndarray
    crowd: np.ndarray
    starts: np.ndarray
    categories: list[dict[str, Any]]
    num_empty_boxes: int

    def __len__(self) -> int:
        return len(self.image_ids)


def read_coco_annotations(path: str | Path) -> CocoAnnotations:
    """Read and check a COCO detection file.

    Boxes that reach over the image are clipped; boxes without area are left out and counted.

    Raises:
        InputError: no such file, broken JSON, a missing field, ids given twice, an annotation of an unknown
            image or category, or a box that is not four finite numbers of non-negative size. The message
            names the first such annotation and says how many there are.
    """
    path = str(path)
    data = read_coco_json(path)
    images, annotations, categories = (data[key] for key in ("images", "annotations", "categories"))
    image_ids = _field(images, "images", "id", path)
    file_names = np.array([str(n) for n in _field(images, "images", "file_name", path)], dtype=np.str_)
    sizes = [[_side(image, key, path) for key in ("height", "width")] for image in images]
    category_ids = _field(categories, "categories", "id", path)
    if UNUSED in _field(categories, "categories", "name", path):
        raise InputError(f"{path}: a category is named {UNUSED!r}, which stands for no category; rename it")
    _refuse_duplicates(path, "images", image_ids)
    _refuse_duplicates(path, "categories", category_ids)

    index_of = {image_id: index for index, image_id in enumerate(image_ids)}
    known_categories = set(category_ids)
    owners = _field(annotations, "annotations", "image_id", path)
    labels = _field(annotations, "annotations", "category_id", path)
    raw_boxes = _field(annotations, "annotations", "bbox", path)

    def check(is_bad: Callable[[int], bool], field: str, values: list, remedy: str) -> None:
        bad = [i for i in range(len(annotations)) if is_bad(i)]
        if bad:
            first = annotations[bad[0]]
            more = f" ({len(bad)} such annotations)" if len(bad) > 1 else ""
            raise InputError(
                f"{path}: annotation id {first.get('id', '?')}: {field}={values[bad[0]]!r}: {remedy}{more}"
            )

    check(lambda i: owners[i] not in index_of, "image_id", owners, "no image has this id; add or remove")
    check(lambda i: labels[i] not in known_categories, "category_id", labels, "no category has this id")
    check(lambda i: not is_box(raw_boxes[i]), "bbox", raw_boxes, "it must be [x, y, width, height]")
    xywh = np.array(raw_boxes, dtype=np.float64).reshape(-1, 4)
    finite = np.asarray(np.isfinite(xywh).all(axis=1))
    check(lambda i: not finite[i], "bbox", raw_boxes, "not finite; correct or remove the box")
    negative = np.asarray((xywh[:, 2:] < 0).any(axis=1))
    check(lambda i: bool(negative[i]), "bbox", raw_boxes, "negative size; correct or remove the box")

    owner = np.array([index_of[o] for o in owners], dtype=np.int64)
    size_array = np.array(sizes, dtype=np.int32).reshape(-1, 2)
    boxes = _clip(np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), axis=1), size_array[owner])
    keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    order = np.flatnonzero(keep)[np.argsort(owner[keep], kind="stable")]
    counts = np.bincount(owner[order], minlength=len(images))
    return CocoAnnotations(
        path=path,
        image_ids=np.array(image_ids, dtype=np.int64),
        file_names=file_names,
        sizes=size_array,
        boxes=boxes[order].astype(np.float32),
        category_ids=np.array(labels, dtype=np.int64)[order],
        crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=bool)[order],
        starts=np.concatenate(([0], np.cumsum(counts))),
        categories=categories,
        num_empty_boxes=int((~keep).sum()),
    )


def categories_of(annotations: CocoAnnotations, labels: str) -> Categories:
    """The labels' meaning: "contiguous" (0, 1, 2, …) or "category_id" (the original DETR code)."""
    if labels == "contiguous":
        return Categories.contiguous(annotations.categories)
    if labels == "category_id":
        return Categories.by_category_id(annotations.categories)
    raise InputError(f'labels={labels!r}; it must be "contiguous" or "category_id"')


def _clip(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """xyxy inside (height, width); an image whose size the file does not give is left to decoding."""
    limit = np.where(sizes > 0, sizes, np.inf)[:, [1, 0, 1, 0]]
    return np.clip(boxes, 0, limit)


def _side(image: dict[str, Any], key: str, path: str) -> int:
    """Height or width of an image, 0 where the file does not say."""
    value = image.get(key) or 0
    if not isinstance(value, int | float) or value < 0:
        raise InputError(f"{path}: image id {image['id']}: {key}={value!r}; it must be a number of pixels")
    return int(value)


def is_box(box: Any) -> bool:
    """Whether a bbox is a list of four numbers, finite or not."""
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in box)
    )


def read_coco_json(path: str | Path) -> dict[str, Any]:
    """The lists of an annotation file, what is in them unchecked.

    Raises:
        InputError: no such file, broken JSON, or no "images", "annotations" and "categories" in it.
    """
    # Millions of new lists and dicts, none of them rubbish: looking for it would double the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        raise InputError(f"annotations {path}: {error.strerror or error}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"annotations {path}: not valid JSON: {error}; export or download it again"
        ) from error
    finally:
        if collecting:
            gc.enable()
    if not isinstance(data, dict):
        raise InputError(
            f"annotations {path}: a JSON {type(data).__name__}, not a COCO file; it must be an object with "
            '"images", "annotations" and "categories" (a list is usually a file of detections)'
        )
    for key in ("images", "annotations", "categories"):
        value = data.get(key)
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise InputError(
                f"annotations {path}: {key!r} is missing or not a list of objects; COCO files have it"
            )
    return data


def _field(entries: list[dict[str, Any]], kind: str, key: str, path: str) -> list[Any]:
    try:
        return [entry[key] for entry in entries]
    except KeyError:
        index = next(i for i, entry in enumerate(entries) if key not in entry)
        raise InputError(f"{path}: {kind}[{index}] has no {key!r}: {entries[index]}") from None


def _refuse_duplicates(path: str, kind: str, ids: list[Any]) -> None:
    seen: set[Any] = set()
    for value in ids:
        if not isinstance(value, int):
            raise InputError(f"{path}: {kind}: id={value!r} is not an integer; number the {kind} 1, 2, 3, …")
        if value in seen:
            raise InputError(f"{path}: {kind}: id={value} is given twice; ids must be unique")
        seen.add(value)
