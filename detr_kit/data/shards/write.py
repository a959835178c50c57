"""A COCO set as tar shards: WebDataset's layout, each sample a JSON and an image of one key.

    shard-000000.tar    00000000.json  00000000.jpg  00000001.json  00000001.jpg  …
    dataset.json        the shards' names and sizes, the categories
    samples.npz         where each sample lies, so that a reader asks for its bytes alone

The JSON is a COCO file of one image without the categories: {"images": […], "annotations": […]}.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...storage import exists, join, write_whole
from ..annotation_table import AnnotationTable, annotation_table
from ..file_names import match_names
from ..formats import find_data
from .index import INDEX, Samples, ShardIndex


@dataclass
class _Shard:
    """A tar file that grows in memory."""

    buffer: io.BytesIO = field(default_factory=io.BytesIO)

    def __post_init__(self) -> None:
        self._tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    @property
    def size(self) -> int:
        return self._tar.offset

    def add(self, name: str, data: bytes) -> int:
        """Where its bytes begin."""
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        start = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(entry, io.BytesIO(data))
        return start

    def closed(self) -> bytes:
        self._tar.close()
        return self.buffer.getvalue()


def write_shards(
    data: Mapping[str, Any],
    images: str | Path,
    out: str,
    shard_mb: float = 256.0,
    source: str = "annotations",
) -> ShardIndex:
    """Write a set; the same set gives the same bytes.

    Args:
        data: "images", "annotations" and "categories" as in a COCO file; annotations that cannot be used are
            left out.
        images: the folder of the pictures, which are stored as they are.
        out: a folder, or an address that fsspec knows.
        shard_mb: megabytes (10⁶ bytes) from which on a shard is full.
        source: what messages call the data.

    Returns:
        The set's index.

    Raises:
        InputError: a set is there already, pictures are missing, or the place cannot be written.
    """
    if exists(join(out, INDEX)):
        raise InputError(f"--out {out}: a sharded set is there already; name another place")
    table = annotation_table(source, data)
    table.refuse(max_left_out=1)
    if not table.images:
        raise InputError(f"{source}: no image to write")
    found = match_names(Path(images), iter(table.file_names))
    if found.missing or found.ambiguous:
        raise InputError(f"{source}: {found.complaint()}")
    columns: dict[str, list[int]] = defaultdict(list)
    names: list[str] = []
    sizes: list[int] = []

    def close(shard: _Shard) -> None:
        names.append(f"shard-{len(names):06}.tar")
        whole = shard.closed()
        sizes.append(len(whole))
        write_whole(join(out, names[-1]), whole)

    shard = _Shard()
    for row, sample in enumerate(_samples(table)):
        if shard.size >= shard_mb * 1e6:
            close(shard)
            shard = _Shard()
        name = table.file_names[row]
        path = Path(images) / found.loose.get(name, name)
        try:
            pixels = path.read_bytes()
        except OSError as error:
            raise InputError(f"image {path}: {error.strerror or error}") from error
        text = json.dumps(sample).encode()
        columns["shard"].append(len(names))
        columns["start"].append(shard.add(f"{row:08}.json", text))
        columns["json_bytes"].append(len(text))
        columns["image_start"].append(shard.add(f"{row:08}{path.suffix.lower()}", pixels))
        columns["image_bytes"].append(len(pixels))
    close(shard)
    index = ShardIndex(out, names, sizes, table.categories, _packed(table, columns))
    index.write()
    return index


def _samples(table: AnnotationTable) -> Iterator[dict[str, Any]]:
    """Each image with its annotations, in the file's order."""
    whole = table.to_coco()
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in whole["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    for image in whole["images"]:
        yield {"images": [image], "annotations": of_image[image["id"]]}


def _packed(table: AnnotationTable, columns: Mapping[str, list[int]]) -> Samples:
    keep = np.flatnonzero(table.faults == 0)
    order = keep[np.argsort(table.owner[keep], kind="stable")]
    ids = np.array([category["id"] for category in table.categories], dtype=np.int64)
    counts = np.bincount(table.owner[order], minlength=len(table.images))
    return Samples(
        shard=np.array(columns["shard"], np.int32),
        start=np.array(columns["start"], np.int64),
        json_bytes=np.array(columns["json_bytes"], np.int32),
        image_start=np.array(columns["image_start"], np.int64),
        image_bytes=np.array(columns["image_bytes"], np.int64),
        sizes=np.nan_to_num(table.sizes[:, ::-1]).astype(np.int32),
        image_ids=np.array(table.image_ids, np.int64),
        box_starts=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        category_ids=ids[table.label[order]],
        crowd=table.crowd[order],
    )


def shard_data(
    path: str | Path,
    out: str,
    split: str | None = None,
    images: str | Path | None = None,
    shard_mb: float = 256.0,
) -> ShardIndex:
    """Write one split of a set of any known format; see `write_shards`.

    Args:
        path: an annotation file or a folder, as `find_data` takes it.
        split: by default "train", or "all" where the set is not divided.
        images: the folder of the pictures, where it is not beside the annotations.

    Raises:
        InputError: no set, no such split, or more annotations than a slip that cannot be used.
    """
    found = find_data(path, images).splits
    name = split or ("train" if "train" in found else "all")
    if name not in found:
        raise InputError(f"{path}: no {name} split; there is {', '.join(found)}; name one with --split")
    part = found[name]
    data = part.read().refuse_problems(part.source)
    return write_shards(data, part.images, out, shard_mb, str(part.source))
