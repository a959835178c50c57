"""A COCO-format data set as samples for the networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.ops import box_convert
from torchvision.transforms import v2

from ..categories import Categories
from ..errors import InputError
from ..registry import DATASETS, TRANSFORMS, build
from ..structures import Target
from .annotation_table import MAX_LEFT_OUT
from .category_matching import match_categories
from .coco_annotations import categories_of, read_coco_annotations
from .epoch import at_epoch
from .file_names import match_names
from .image_cache import ImageCache
from .image_io import read_image
from .partners import partners_from
from .sampler import Draw
from .seeding import seeded

_MAX_UNREADABLE = 20  # one after the other: then it is the folder or the disk, not an image


@dataclass
class Sample:
    """One image and its objects.

    Attributes:
        image: (3, H, W) uint8 RGB.
        target: its objects.
        skipped: what was wrong with the images in whose place this one stands; see `CocoDataset.unreadable`.
        draw: that it was read for, in training.
    """

    image: Tensor
    target: Target
    skipped: tuple[str, ...] = ()
    draw: Draw | None = None


@DATASETS.register_module()
class CocoDataset(Dataset):
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
        if unreadable not in ("stop", "skip"):
            raise InputError(f'CocoDataset: unreadable={unreadable!r}, not "stop" or "skip"')
        self.unreadable = unreadable
        root = Path(data_root).expanduser()
        self.annotations = read_coco_annotations(root / annotations, max_left_out)
        self.folder = root / images
        self.categories = categories_of(self.annotations, labels)
        self.transforms: Callable | None = (
            v2.Compose(build(list(transforms), TRANSFORMS)) if transforms else None
        )
        self._label_of_id = self.categories.label_of_id
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
    def metainfo(self) -> dict[str, Any]:
        """What the metric and the checkpoint need to know about the set."""
        return {**self.categories.to_metadata(), "annotations": self.annotations.path}

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
        self.categories = match_categories(self.categories, learned, used, self.annotations.path, of)
        self._label_of_id = self.categories.label_of_id

    def labels_of_image(self, index: int) -> list[int]:
        """Labels of the objects of one image, as the annotation file has them."""
        rows = self._rows(self._indices[index])
        return [self._label_of_id[int(c)] for c in self.annotations.category_ids[rows][self._is_object[rows]]]

    def __getitem__(self, index: int | Draw) -> Sample:
        """An image with its objects, transformed; a Draw brings the seed of the transforms."""
        if isinstance(index, Draw):
            with seeded(index.seed), at_epoch(index.epoch):
                return replace(self._readable(index.image), draw=index)
        return self._readable(index)

    def _readable(self, index: int) -> Sample:
        if self.unreadable == "stop":
            return self._load_or_advise(index)
        skipped: list[str] = []
        for attempt in range(_MAX_UNREADABLE):
            try:
                sample = self._load((index + attempt) % len(self))
            except InputError as error:
                skipped.append(str(error))
            else:
                sample.skipped = tuple(skipped)
                return sample
        raise InputError(
            f"{len(skipped)} images in a row cannot be read, the first: {skipped[0]}; see whether the disk "
            f"is still there, and correct the set ({self.annotations.path})"
        )

    def _load_or_advise(self, index: int) -> Sample:
        try:
            return self._load(index)
        except InputError as error:
            raise InputError(
                f"{error}. Its entry is in {self.annotations.path}; with --skip-unreadable training takes "
                "another picture in the place of such a one"
            ) from error

    def _load(self, index: int) -> Sample:
        row = self._indices[index]
        sample = self._read_sample(row)
        height, width = sample["image"].shape[-2:]
        if self.transforms is not None:
            with partners_from(self._draw_partner):
                sample = self.transforms(sample)
        return Sample(
            torch.Tensor.as_subclass(sample["image"], Tensor),
            _target(sample, (height, width), int(self.annotations.image_ids[row]), str(self._path(row))),
        )

    def _read_sample(self, row: int | np.integer) -> dict[str, Tensor]:
        """The picture of a row and its objects, as transforms take them."""
        pixels = self._read(self._path(row), self.annotations.sizes[row])
        rows = self._rows(row)
        rows = np.arange(rows.start, rows.stop)[self._is_object[rows]]
        labels = [self._label_of_id[int(c)] for c in self.annotations.category_ids[rows]]
        boxes = tv_tensors.BoundingBoxes(
            torch.from_numpy(self.annotations.boxes[rows]), format="XYXY", canvas_size=pixels.shape[:2]
        )
        image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
        return {"image": image, "boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}

    def _draw_partner(self) -> dict[str, Tensor]:
        return self._read_sample(self._indices[int(torch.randint(len(self), ()))])

    def _rows(self, row: int | np.integer) -> slice:
        return slice(self.annotations.starts[row], self.annotations.starts[row + 1])

    def _read(self, path: Path, size: np.ndarray) -> np.ndarray:
        """The pixels for which the boxes were drawn: as stored, or turned where only that fits the size."""
        pixels = self._cache.read(path)
        wanted = (int(size[0]), int(size[1]))
        if 0 in wanted or pixels.shape[:2] == wanted:
            return pixels
        if pixels.shape[1::-1] == wanted:
            turned = read_image(path, apply_orientation=True)
            if turned.shape[:2] == wanted:
                return turned
        raise InputError(
            f"image {path}: it is {pixels.shape[1]} × {pixels.shape[0]} pixels, the annotation file says "
            f"{wanted[1]} × {wanted[0]} (width × height): the boxes are of another picture, correct the file"
        )

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


def _target(sample: dict[str, Tensor], original_size: tuple[int, int], image_id: int, path: str) -> Target:
    """Boxes clipped to the transformed image, those left without area dropped, normalised."""
    height, width = sample["image"].shape[-2:]
    boxes = torch.Tensor.as_subclass(sample["boxes"], Tensor).float().reshape(-1, 4)
    limit = boxes.new_tensor([width, height, width, height])
    boxes = boxes.clamp(min=torch.zeros_like(limit), max=limit)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    boxes = box_convert(boxes[keep], "xyxy", "cxcywh") / limit
    return Target(sample["labels"][keep], boxes, (height, width), original_size, image_id, path)
