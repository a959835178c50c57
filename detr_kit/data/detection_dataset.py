"""What every set of images with boxes does alike: transforms, targets, images that cannot be read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.ops import box_convert
from torchvision.transforms import v2

from ..categories import Categories
from ..errors import InputError
from ..registry import TRANSFORMS, build
from ..storage import StorageOutage
from ..structures import Target
from .category_matching import match_categories
from .epoch import at_epoch
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
        skipped: what was wrong with the images in whose place this one stands (`unreadable`).
        draw: that it was read for, in training.
    """

    image: Tensor
    target: Target
    skipped: tuple[str, ...] = ()
    draw: Draw | None = None


class Picture(NamedTuple):
    """One image as it was read.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 xyxy in pixels; category_ids: (N,) int64, the set's own.
        image_id: the set's own; path: the file, for messages.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    category_ids: np.ndarray
    image_id: int
    path: str


class DetectionDataset(Dataset):
    """Images with boxes.

    Args:
        categories: names and original ids of the labels.
        transforms: transforms.v2 transforms, or configs of them, applied to image and boxes.
        unreadable: "stop" ends the run at an image that cannot be read; "skip" takes the next one in its
            place and says so in `Sample.skipped`, which is for training only.

    Attributes:
        source: what messages call the set.

    Raises:
        InputError: another word for `unreadable`.
    """

    source: str

    def __init__(self, categories: Categories, transforms: Sequence[Any] | None, unreadable: str) -> None:
        if unreadable not in ("stop", "skip"):
            raise InputError(f'{type(self).__name__}: unreadable={unreadable!r}, not "stop" or "skip"')
        self.unreadable = unreadable
        self.categories = categories
        self.transforms: Callable | None = (
            v2.Compose(build(list(transforms), TRANSFORMS)) if transforms else None
        )
        self._label_of_id = categories.label_of_id

    @abstractmethod
    def __len__(self) -> int:
        """Images."""

    @abstractmethod
    def _picture(self, index: int) -> Picture:
        """An image with its objects, as it is stored.

        Raises:
            InputError: it cannot be read.
        """

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the metric and the checkpoint need to know about the set."""
        return {**self.categories.to_metadata(), "annotations": self.source}

    def _number_as(self, learned: Categories, used: set[int], of: str) -> None:
        """Number the classes as a network has learned them; `used` are the category ids of objects."""
        self.categories = match_categories(self.categories, learned, used, self.source, of)
        self._label_of_id = self.categories.label_of_id

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
            except StorageOutage:
                raise  # it is not the image's fault
            except InputError as error:
                skipped.append(str(error))
            else:
                sample.skipped = tuple(skipped)
                return sample
        raise InputError(
            f"{len(skipped)} images in a row cannot be read, the first: {skipped[0]}; see whether the disk "
            f"is still there, and correct the set ({self.source})"
        )

    def _load_or_advise(self, index: int) -> Sample:
        try:
            return self._load(index)
        except InputError as error:
            raise InputError(
                f"{error}. Its entry is in {self.source}; with --skip-unreadable training takes "
                "another picture in the place of such a one"
            ) from error

    def _load(self, index: int) -> Sample:
        picture = self._picture(index)
        height, width = picture.pixels.shape[:2]
        sample = self._as_transforms_take_it(picture)
        if self.transforms is not None:
            with partners_from(self._draw_partner):
                sample = self.transforms(sample)
        return Sample(
            torch.Tensor.as_subclass(sample["image"], Tensor),
            _target(sample, (height, width), picture.image_id, picture.path),
        )

    def _as_transforms_take_it(self, picture: Picture) -> dict[str, Tensor]:
        boxes = torch.from_numpy(picture.boxes)
        labels = [self._label_of_id[int(c)] for c in picture.category_ids]
        return {
            "image": tv_tensors.Image(torch.from_numpy(picture.pixels).permute(2, 0, 1)),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=picture.pixels.shape[:2]),
            "labels": torch.tensor(labels, dtype=torch.int64),
        }

    def _draw_partner(self) -> dict[str, Tensor]:
        return self._as_transforms_take_it(self._picture(int(torch.randint(len(self), ()))))


def as_annotated(
    pixels: np.ndarray, wanted: tuple[int, int], turned: Callable[[], np.ndarray], name: str
) -> np.ndarray:
    """The pixels for which the boxes were drawn: as stored, or turned where only that fits the size.

    Args:
        pixels: (H, W, 3) as stored; wanted: (height, width) by the annotations, 0 where unknown.
        turned: reads the image as its EXIF orientation says; name: of it, for the message.

    Raises:
        InputError: neither fits.
    """
    if 0 in wanted or pixels.shape[:2] == wanted:
        return pixels
    if pixels.shape[1::-1] == wanted:
        other = turned()
        if other.shape[:2] == wanted:
            return other
    raise InputError(
        f"image {name}: it is {pixels.shape[1]} × {pixels.shape[0]} pixels, the annotation file says "
        f"{wanted[1]} × {wanted[0]} (width × height): the boxes are of another picture, correct the file"
    )


def _target(sample: dict[str, Tensor], original_size: tuple[int, int], image_id: int, path: str) -> Target:
    """Boxes clipped to the transformed image, those left without area dropped, normalised."""
    height, width = sample["image"].shape[-2:]
    boxes = torch.Tensor.as_subclass(sample["boxes"], Tensor).float().reshape(-1, 4)
    limit = boxes.new_tensor([width, height, width, height])
    boxes = boxes.clamp(min=torch.zeros_like(limit), max=limit)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    boxes = box_convert(boxes[keep], "xyxy", "cxcywh") / limit
    return Target(sample["labels"][keep], boxes, (height, width), original_size, image_id, path)
