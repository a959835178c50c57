"""A sharded set as samples for the networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...categories import Categories
from ...errors import InputError
from ...registry import DATASETS
from ...storage import join, read_bytes
from ..annotation_table import annotation_table
from ..coco_annotations import labels_of_categories
from ..detection_dataset import DetectionDataset, Picture, as_annotated
from ..image_io import decode_image
from .disk_cache import ShardCache
from .index import ShardIndex


@DATASETS.register_module()
class ShardDataset(DetectionDataset):
    """Images with boxes from tar shards, which may be larger than the disk.

    A sample is found by its number, as in any set: where it lies is in the index. So order, augmentation and
    resuming depend on positions alone, and a run that goes on reads nothing of what is behind it. Its samples
    are those of `CocoDataset` on the set that the shards were made of.

    Args:
        url: the folder or address that `detr-kit data shard` wrote: a path, s3://, gs://, http(s)://, ….
        transforms, labels, keep_empty, keep_crowd, unreadable: as in `CocoDataset`.
        disk_cache_gb: gigabytes (10⁹ bytes) of whole shards to keep on this machine; use it with
            `ShardSampler`. 0 asks for the bytes of each sample when it is wanted.
        cache_dir: where they are kept.

    Attributes:
        shard_of: (len,) the shard of each sample.

    Raises:
        InputError: no such set, or it cannot be read.
    """

    def __init__(
        self,
        url: str,
        transforms: Sequence[Any] | None = None,
        labels: str = "contiguous",
        keep_empty: bool = True,
        keep_crowd: bool = False,
        unreadable: str = "stop",
        disk_cache_gb: float = 0.0,
        cache_dir: str = "~/.cache/detr_kit/shards",
    ) -> None:
        self.index = ShardIndex.read(url)
        self.source = url
        categories = labels_of_categories(self.index.categories, labels, url)
        super().__init__(categories, transforms, unreadable)
        samples = self.index.samples
        self.keep_crowd = keep_crowd
        self._is_object = np.ones_like(samples.crowd) if keep_crowd else ~samples.crowd
        self._indices = np.arange(len(samples.shard))
        if not keep_empty:
            objects = np.concatenate(([0], np.cumsum(self._is_object)))[samples.box_starts]
            self._indices = np.flatnonzero(np.diff(objects))
        if len(self._indices) == 0:
            raise InputError(f"{url}: no image to use; check the set and keep_empty")
        self.shard_of = samples.shard[self._indices]
        self._cache = (
            ShardCache(cache_dir, disk_cache_gb, url, self.index.shards, self.index.shard_bytes)
            if disk_cache_gb
            else None
        )

    def __len__(self) -> int:
        return len(self._indices)

    def __str__(self) -> str:
        """One line for the log."""
        size = sum(self.index.shard_bytes) / 1e9
        return (
            f"{self.source}: {len(self)} images, {self.num_objects} boxes, {len(self._label_of_id)} classes "
            f"in {len(self.index.shards)} shards of {size:.3g} GB together"
        )

    @property
    def aspect_ratios(self) -> np.ndarray:
        """(len,) width / height of each image as the annotations state it; 1 where they do not."""
        sizes = self.index.samples.sizes[self._indices].astype(np.float64)
        return np.where((sizes > 0).all(1), sizes[:, 1] / np.maximum(sizes[:, 0], 1), 1.0)

    @property
    def num_objects(self) -> int:
        """Boxes that count as objects, in all images together."""
        return int(self._is_object.sum())

    def labels_of_image(self, index: int) -> list[int]:
        """Labels of the objects of one image."""
        samples, row = self.index.samples, self._indices[index]
        boxes = slice(samples.box_starts[row], samples.box_starts[row + 1])
        return [self._label_of_id[int(c)] for c in samples.category_ids[boxes][self._is_object[boxes]]]

    def match_categories(self, learned: Categories, of: str) -> None:
        """Number the classes as a network has learned them; see `CocoDataset`."""
        used = set(self.index.samples.category_ids[self._is_object].tolist())
        self._number_as(learned, used, of)

    def _picture(self, index: int) -> Picture:
        row = int(self._indices[index])
        entry, image, name = self._read(row)
        table = annotation_table(name, {**entry, "categories": self.index.categories})
        size = self.index.samples.sizes[row]
        turned = lambda: decode_image(image, name, apply_orientation=True)  # noqa: E731
        pixels = as_annotated(decode_image(image, name), (int(size[0]), int(size[1])), turned, name)
        rows = np.flatnonzero((table.faults == 0) & (self.keep_crowd | ~table.crowd))
        ids = np.array([self.index.categories[label]["id"] for label in table.label[rows]], dtype=np.int64)
        image_id = int(self.index.samples.image_ids[row])
        return Picture(pixels, table.corners[rows], ids, image_id, name)

    def _read(self, row: int) -> tuple[dict[str, Any], bytes, str]:
        """A sample's JSON, its image, and what messages call it; both lie together, and are read at once."""
        samples, shard = self.index.samples, int(self.index.samples.shard[row])
        start, image = int(samples.start[row]), int(samples.image_start[row])
        end = image + int(samples.image_bytes[row])
        path = join(self.source, self.index.shards[shard])
        name = f"{path}, sample {row:08}"
        data = self._cache.read(shard, start, end) if self._cache else read_bytes(path, start, end)
        try:
            entry = json.loads(data[: int(samples.json_bytes[row])])
            if len(data) != end - start or entry["images"][0]["id"] != samples.image_ids[row]:
                raise ValueError("another sample is there")
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"{name}: the shard and its index do not fit ({error}); write the set again"
            ) from error
        return entry, data[image - start :], name
