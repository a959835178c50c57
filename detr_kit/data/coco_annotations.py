"""A COCO annotation file, checked and packed into arrays."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..categories import Categories
from ..errors import InputError
from .annotation_table import MAX_LEFT_OUT, annotation_table
from .text_file import read_text

_MOST_LABELS = 100_000  # of labels that are category ids: beyond it the ids are no numbering of classes


@dataclass(frozen=True)
class CocoAnnotations:
    """All images and boxes of an annotation file; arrays, so that workers share them without copies.

    Attributes:
        path: the file.
        image_ids: (I,) int64; file_names: I strings; sizes: (I, 2) int32 (height, width).
        boxes: (A, 4) float32 xyxy in pixels, clipped to the image, grouped by image.
        category_ids: (A,) int64; crowd: (A,) bool.
        starts: (I + 1,) where the boxes of each image begin.
        categories: the file's list, ids as integers and names as text.
        left_out: how many annotations could not be used, by the fault's name (annotation_table.FAULTS).
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
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def num_empty_boxes(self) -> int:
        """Boxes without area that were left out."""
        return self.left_out.get("box-zero-area", 0)


def read_coco_annotations(path: str | Path, max_left_out: float = MAX_LEFT_OUT) -> CocoAnnotations:
    """Read and check a COCO detection file.

    Boxes that reach over the image are clipped; annotations that cannot be used are left out and counted.

    Args:
        max_left_out: the share of annotations that may be left out; see `annotation_table.too_many`.

    Raises:
        InputError: no such file, broken JSON, a missing field, ids given twice, or too many annotations that
            cannot be used: of an unknown image or category, or with a box that is not four finite numbers of
            positive size inside the image. The message names the first and says how many there are.
    """
    table = annotation_table(str(path), read_coco_json(path))
    table.refuse(max_left_out)
    keep = np.flatnonzero(table.faults == 0)
    order = keep[np.argsort(table.owner[keep], kind="stable")]
    counts = np.bincount(table.owner[order], minlength=len(table.images))
    category_ids = np.array([category["id"] for category in table.categories], dtype=np.int64)
    return CocoAnnotations(
        path=str(path),
        image_ids=np.array(table.image_ids, dtype=np.int64),
        file_names=np.array(table.file_names, dtype=np.str_),
        sizes=np.nan_to_num(table.sizes[:, ::-1]).astype(np.int32),
        boxes=table.corners[order],
        category_ids=category_ids[table.label[order]],
        crowd=table.crowd[order],
        starts=np.concatenate(([0], np.cumsum(counts))),
        categories=table.categories,
        left_out=table.left_out(),
    )


def categories_of(annotations: CocoAnnotations, labels: str) -> Categories:
    """The labels' meaning: "contiguous" (0, 1, 2, …) or "category_id" (the original DETR code)."""
    return labels_of_categories(annotations.categories, labels, annotations.path)


def labels_of_categories(categories: list[dict[str, Any]], labels: str, source: str) -> Categories:
    """As `categories_of`, for the list of a file; `source` is for the message."""
    if labels == "contiguous":
        return Categories.contiguous(categories)
    if labels != "category_id":
        raise InputError(f'labels={labels!r}; it must be "contiguous" or "category_id"')
    odd = next((c["id"] for c in categories if not 0 <= c["id"] < _MOST_LABELS), None)
    if odd is not None:
        raise InputError(
            f'{source}: category id {odd} cannot be a label; set labels="contiguous" for this set'
        )
    return Categories.by_category_id(categories)


def read_coco_json(path: str | Path) -> dict[str, Any]:
    """The lists of an annotation file, what is in them unchecked.

    Raises:
        InputError: no such file, broken JSON, or no "images", "annotations" and "categories" in it.
    """
    # Millions of new lists and dicts, none of them rubbish: looking for it would double the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        data = json.loads(read_text(path))
    except InputError as error:
        raise InputError(f"annotations {error}") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise InputError(
            f"annotations {path}: not valid JSON: {error}; correct it there, or export or download it again"
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
        _refuse_no_list(data, key, path)
    return data


def _refuse_no_list(data: Mapping[str, Any], key: str, path: str | Path) -> None:
    value = data.get(key)
    if not isinstance(value, list):
        found = f"it is {json.dumps(value)[:60]}" if key in data else "there is none"
        raise InputError(
            f"annotations {path}: {key!r} is missing or not a list of objects ({found}); COCO files have it"
        )
    odd = next((index for index, entry in enumerate(value) if not isinstance(entry, dict)), None)
    if odd is not None:
        raise InputError(
            f"annotations {path}: {key}[{odd}] is {json.dumps(value[odd])[:60]}, not an object; remove it, "
            "or export the file again"
        )
