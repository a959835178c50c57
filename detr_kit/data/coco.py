"""A COCO-format data set as samples for the networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..categories import Categories
from ..errors import InputError
from ..registry import DATASETS
from .annotation_table import MAX_LEFT_OUT
from .coco_annotations import categories_of, read_coco_annotations
from .detection_dataset import DetectionDataset, Picture, as_annotated
from .file_names import match_names
from .image_cache import ImageCache
from .image_io import read_image


@DATASETS.register_module()
class CocoDataset(DetectionDataset):
    """Images with boxes from a COCO JSON file.

    Args:
        annotations: the JSON file.
        images: the folder that its file names are relative to.
        data_root: what `annotations` and `images` are relative to.
        transforms: transforms.v2 transforms, or configs of them, applied to image and boxes; those that join
            several pictures draw the others from this set (`partners.draw_partner`).
        labels: "contiguous" numbers the categories 0, 1, 2, … in the order of their ids; "category_id" uses
            the ids themselves, as the original code and its checkpoints do.
        keep_empty: keep images without boxes (they teach what is background).
        keep_crowd: keep crowd regions as objects; the metric knows of them anyway.
        unreadable: "stop" ends the run at an image that cannot be read; "skip" takes the next one in its
            place and says so in `Sample.skipped`, which is for training only.
        cache_gb: gigabytes of decoded images to keep in memory; 0 reads every time.
        max_left_out: the share of annotations that may be left out because they cannot be used; with more
            the set is refused. 0 refuses the first, 1 none.

    Attributes:
        categories: names and original ids of the labels.

    Raises:
        InputError: on the first use of what is wrong; see `read_coco_annotations` and `read_image`.
    """

    def __init__(
        self,
        annotations: str,
        images: str,
        transforms: Sequence[Any] | None = None,
        labels: str = "contiguous",
        keep_empty: bool = True,
        keep_crowd: bool = False,
        data_root: str = "",
        unreadable: str = "stop",
        cache_gb: float = 0.0,
        max_left_out: float = MAX_LEFT_OUT,
    ) -> None:
        root = Path(data_root).expanduser()
        self.annotations = read_coco_annotations(root / annotations, max_left_out)
        self.folder = root / images
        super().__init__(categories_of(self.annotations, labels), transforms, unreadable)
        self.source = self.annotations.path
        self._is_object = np.ones_like(self.annotations.crowd) if keep_crowd else ~self.annotations.crowd
        self._indices = np.arange(len(self.annotations))
        if not keep_empty:
            with_box = [i for i in range(len(self.annotations)) if self._is_object[self._rows(i)].any()]
            self._indices = np.array(with_box, dtype=np.int64)
        if len(self._indices) == 0:
            raise InputError(f"{annotations}: no image to use; check the file and keep_empty")
        self._check_files_exist()
        paths = [self._path(row) for row in self._indices]
        self._cache = ImageCache(paths if cache_gb else [], cache_gb)

    @property
    def aspect_ratios(self) -> np.ndarray:
        """(len,) width / height of each image as the file states it; 1 where it does not."""
        sizes = self.annotations.sizes[self._indices].astype(np.float64)
        return np.where((sizes > 0).all(1), sizes[:, 1] / np.maximum(sizes[:, 0], 1), 1.0)

    @property
    def num_objects(self) -> int:
        """Boxes that count as objects, in all images together."""
        return int(self._is_object.sum())

    def __len__(self) -> int:
        return len(self._indices)

    def __str__(self) -> str:
        """One line for the log."""
        crowd = len(self._is_object) - self.num_objects
        left_out = dict(self.annotations.left_out)
        empty = left_out.pop("box-zero-area", 0)
        others = ", ".join(f"{count} {name}" for name, count in left_out.items())
        return (
            f"{self.annotations.path}: {len(self)} images, {self.num_objects} boxes, "
            f"{len(self.categories.label_of_id)} classes"
            + (f", {crowd} crowd regions not used as objects" if crowd else "")
            + (f", {empty} boxes without area left out" if empty else "")
            + (f", {sum(left_out.values())} annotations left out ({others})" if left_out else "")
            + (f"; {self._names_note}" if self._names_note else "")
        )

    def match_categories(self, learned: Categories, of: str) -> None:
        """Number the classes as a network has learned them, by their names.

        Args:
            learned: of the training set, or of a checkpoint; of: what to call that in a message.

        Raises:
            InputError: objects of a class that was not learned.
        """
        used = set(self.annotations.category_ids[self._is_object].tolist())
        self._number_as(learned, used, of)

    def labels_of_image(self, index: int) -> list[int]:
        """Labels of the objects of one image, as the annotation file has them."""
        rows = self._rows(self._indices[index])
        return [self._label_of_id[int(c)] for c in self.annotations.category_ids[rows][self._is_object[rows]]]

    def _picture(self, index: int) -> Picture:
        row = self._indices[index]
        path = self._path(row)
        size = self.annotations.sizes[row]
        wanted = (int(size[0]), int(size[1]))
        turned = lambda: read_image(path, apply_orientation=True)  # noqa: E731
        pixels = as_annotated(self._cache.read(path), wanted, turned, str(path))
        rows = self._rows(row)
        rows = np.arange(rows.start, rows.stop)[self._is_object[rows]]
        boxes, ids = self.annotations.boxes[rows], self.annotations.category_ids[rows]
        return Picture(pixels, boxes, ids, int(self.annotations.image_ids[row]), str(path))

    def _rows(self, row: int) -> slice:
        return slice(self.annotations.starts[row], self.annotations.starts[row + 1])

    def _path(self, row: int | np.integer) -> Path:
        name = str(self.annotations.file_names[row])
        return self.folder / self._loose_names.get(name, name)

    def _check_files_exist(self) -> None:
        """A missing image is known before training starts; names spelt otherwise find their files."""
        found = match_names(self.folder, (str(n) for n in self.annotations.file_names[self._indices]))
        if found.missing or found.ambiguous:
            raise InputError(
                f"{self.annotations.path}: {found.complaint()}. Correct the image folder of the data set in "
                "the config, or the names"
            )
        self._loose_names, self._names_note = found.loose, found.note()
