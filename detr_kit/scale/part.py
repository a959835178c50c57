"""One part of a run: its images in, its file out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..data.image_io import decode_image
from ..errors import InputError
from ..inference.batch_size import automatic_batch_size
from ..inference.predictor import Predictor
from ..sources import load_image
from ..storage import StorageOutage, exists, is_url, join, read_bytes, remove
from ..structures import Prediction
from .equal_shapes import Ready, equal_shape_batches
from .read_ahead import read_ahead
from .report import PartReport
from .run_folder import Part
from .tables import DETECTIONS, ERRORS, num_rows, write_table

_MOST_WAITING = 128  # inputs for others of their shape: 410 MB of 800 × 1333 pixels


class _Failed(NamedTuple):
    number: int
    error: str


@dataclass
class PartPredictor:
    """Predicts the images of parts and writes their tables.

    Args:
        predictor: with the one copy of the network in this process.
        out: the folder of the run.
        score_threshold, batch_size: as in `Predictor.__call__`.
        threads: that read, decode and resize while the network runs.
    """

    predictor: Predictor
    out: str
    score_threshold: float
    batch_size: int | None = None
    threads: int = 4

    def __call__(self, part: Part) -> PartReport:
        """Do a part, unless somebody has done it meanwhile.

        Raises:
            StorageOutage: images cannot be reached at all; nothing is written then.
            InputError: the tables cannot be written.
        """
        path, errors = join(self.out, f"{part.name}.parquet"), join(self.out, f"_errors/{part.name}.parquet")
        if exists(path):
            done = num_rows(path)
            return PartReport(done, len(part.paths) - done)
        rows: dict[int, dict[str, Any]] = {}
        failed: list[_Failed] = []
        report = PartReport()
        for batch in equal_shape_batches(self._images(part, failed), self._batch_size, _MOST_WAITING):
            found = self.predictor.predict_inputs(
                [image.pixels for image in batch], [image.size for image in batch], len(batch)
            )
            for image, prediction in zip(batch, found, strict=True):
                row = self._row(part.paths[image.number], image.size, prediction)
                rows[image.number] = row
                report.objects.update(Counter(row["names"]))
        report.done, report.failed = len(rows), len(failed)
        if failed:
            write_table(errors, [{"path": part.paths[i], "error": text} for i, text in failed], ERRORS)
        else:
            remove(errors)  # of somebody who could not read what can be read now
        write_table(path, [rows[index] for index in sorted(rows)], DETECTIONS)  # last: the part is done
        return report

    def _images(self, part: Part, failed: list[_Failed]) -> Iterator[Ready]:
        for image in read_ahead(self._read, enumerate(part.paths), self.threads):
            if isinstance(image, _Failed):
                failed.append(image)
            else:
                yield image

    def _read(self, numbered: tuple[int, str]) -> Ready | _Failed:
        index, path = numbered
        try:
            if is_url(path):
                image = decode_image(read_bytes(path), path, apply_orientation=True)
            else:
                image = load_image(path)
        except StorageOutage:
            raise
        except InputError as error:
            return _Failed(index, str(error))
        with torch.inference_mode():
            pixels = self.predictor.transforms(torch.from_numpy(image).permute(2, 0, 1))
        return Ready(index, pixels, (image.shape[0], image.shape[1]))

    def _batch_size(self, height: int, width: int) -> int:
        return self.batch_size or automatic_batch_size(height, width, self.predictor.device)

    def _row(self, path: str, size: tuple[int, int], prediction: Prediction) -> dict[str, Any]:
        keep = prediction.scores >= self.score_threshold
        scores, labels, boxes = (tensor[keep].tolist() for tensor in prediction)
        names = [self.predictor.class_names[label] for label in labels]
        return {
            "path": path,
            "width": size[1],
            "height": size[0],
            "boxes": boxes,
            "scores": scores,
            "labels": labels,
            "names": names,
        }
