"""What a sharded set is made of, small enough to be held whole: where each sample lies and what is in it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ...errors import InputError
from ...storage import join, read_bytes, write_whole

INDEX, ARRAYS = "dataset.json", "samples.npz"
_VERSION = 1


@dataclass(frozen=True)
class Samples:
    """All samples of a set in their order; N of them with A boxes.

    Attributes:
        shard: (N,) int32 number of the tar file.
        start: (N,) int64 where the sample's JSON begins in it; json_bytes: (N,) int32.
        image_start: (N,) int64 where its image begins, behind the JSON; image_bytes: (N,) int64.
        sizes: (N, 2) int32 (height, width) as the annotations state them, 0 where they do not.
        image_ids: (N,) int64.
        box_starts: (N + 1,) int64 where the boxes of each sample begin.
        category_ids: (A,) int64; crowd: (A,) bool.
    """

    shard: np.ndarray
    start: np.ndarray
    json_bytes: np.ndarray
    image_start: np.ndarray
    image_bytes: np.ndarray
    sizes: np.ndarray
    image_ids: np.ndarray
    box_starts: np.ndarray
    category_ids: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class ShardIndex:
    """A sharded set.

    Attributes:
        url: the folder or address of all its files.
        shards: names of the tar files; shard_bytes: their sizes.
        categories: as in a COCO file.
        samples: where each is.
    """

    url: str
    shards: list[str]
    shard_bytes: list[int]
    categories: list[dict[str, Any]]
    samples: Samples

    def write(self) -> None:
        """Write both files; `dataset.json` comes last and says that the set is whole.

        Raises:
            InputError: they cannot be written.
        """
        arrays = io.BytesIO()
        np.savez_compressed(arrays, **{f.name: getattr(self.samples, f.name) for f in fields(Samples)})
        write_whole(join(self.url, ARRAYS), arrays.getvalue())
        about = {"version": _VERSION, "num_samples": len(self.samples.shard), "categories": self.categories}
        shards = [
            {"name": name, "bytes": size} for name, size in zip(self.shards, self.shard_bytes, strict=True)
        ]
        write_whole(join(self.url, INDEX), json.dumps({**about, "shards": shards}, indent=1).encode())

    @classmethod
    def read(cls, url: str) -> ShardIndex:
        """The set at an address.

        Raises:
            InputError: no sharded set is there, or it was written otherwise.
        """
        path = join(url, INDEX)
        try:
            text = read_bytes(path)
        except InputError as error:
            raise InputError(
                f"{error}; a sharded set is a folder or address that `detr-kit data shard` has written"
            ) from error
        try:
            about = json.loads(text)
            if about["version"] != _VERSION:
                raise ValueError(f"version {about['version']}")
            with np.load(io.BytesIO(read_bytes(join(url, ARRAYS))), allow_pickle=False) as arrays:
                samples = Samples(**{f.name: arrays[f.name] for f in fields(Samples)})
            shards = about["shards"]
            names, sizes = [shard["name"] for shard in shards], [int(shard["bytes"]) for shard in shards]
            return cls(url, names, sizes, about["categories"], samples)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(
                f"{path}: not as `detr-kit data shard` writes it: {error}; write it again"
            ) from error
