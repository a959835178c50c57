"""The tables of a run as Parquet: images, detections, errors."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..storage import read_bytes, write_whole

IMAGES = pa.schema([("path", pa.string())])
DETECTIONS = pa.schema(
    [
        ("path", pa.string()),
        ("width", pa.int32()),  # pixels, turned as the EXIF orientation says
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32()))),  # xyxy in these pixels, best first
        ("scores", pa.list_(pa.float32())),
        ("labels", pa.list_(pa.int32())),
        ("names", pa.list_(pa.string())),
    ]
)
ERRORS = pa.schema([("path", pa.string()), ("error", pa.string())])


def write_table(path: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """One Parquet file, whole or not at all; equal rows give equal bytes.

    Raises:
        InputError: it cannot be written.
    """
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    write_whole(path, buffer.getvalue())


def read_column(path: str, name: str) -> list[Any]:
    """One column of a Parquet file.

    Raises:
        InputError: it cannot be read.
    """
    return pq.read_table(io.BytesIO(read_bytes(path)), columns=[name])[name].to_pylist()


def num_rows(path: str) -> int:
    """Rows of a Parquet file.

    Raises:
        InputError: it cannot be read.
    """
    return pq.read_metadata(io.BytesIO(read_bytes(path))).num_rows
