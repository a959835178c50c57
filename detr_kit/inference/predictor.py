"""Sources in, Detections out, whatever it is that runs the network."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from ..categories import Categories
from ..errors import InputError
from ..number_ranges import check_prediction
from ..sources import Source, expand, is_live, is_single, is_video, iterate_images, load_image
from ..structures import Prediction
from .batch_size import MOST, automatic_batch_size
from .detections import Detections

if TYPE_CHECKING:
    from ..evaluation import CocoResult


class Predictor(ABC):
    """What Detector and an exported model have in common: reading sources, batching, thresholds.

    Images of one shape share a batch and nothing is ever padded, so an image's detections do not depend on
    its neighbours.

    Attributes:
        device: where batches are made.
        transforms: (3, H, W) uint8 -> the same at the size the network sees.
        categories: names and original ids of the labels.
    """

    device: torch.device
    transforms: Callable[[Tensor], Tensor]
    categories: Categories

    @abstractmethod
    def predict_batch(self, pixels: Tensor, original_sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """Detections of (B, 3, H, W) uint8 RGB images without padding, best first.

        Args:
            original_sizes: (height, width) of each image file: boxes are pixels of these.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything beside an image that decides what is found in it, as plain data to compare."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class of each label."""
        return self.categories.names

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is a Sequence too
        self,
        source: Source,
        score_threshold: float = ...,
        *,
        batch_size: int | None = ...,
        bgr: bool = ...,
    ) -> Detections: ...
    @overload
    def __call__(
        self,
        source: Sequence[Source],
        score_threshold: float = ...,
        *,
        batch_size: int | None = ...,
        bgr: bool = ...,
    ) -> list[Detections]: ...
    def __call__(
        self,
        source: Source | Sequence[Source],
        score_threshold: float = 0.3,
        *,
        batch_size: int | None = None,
        bgr: bool = False,
    ) -> Detections | list[Detections]:
        """Detect objects.

        Args:
            source: path, URL, encoded bytes, PIL image, array (H, W, 3) or (H, W), tensor (3, H, W); arrays
                and tensors uint8, uint16, or floating point in [0, 1]. A list, a folder and a pattern such
                as "photos/*.jpg" give a list. Videos and cameras: see `stream`.
            score_threshold: in [0, 1]; detections below are left out, 0 keeps all.
            batch_size: images of equal size to run at once; by default as many as memory takes.
            bgr: arrays are BGR, as OpenCV has them.

        Raises:
            InputError: not an image (the message names it), or a number out of its range.
        """
        check_prediction(score_threshold, batch_size)
        if is_single(source):
            if is_video(source):
                raise InputError(f"source {source}: a video; use stream(), which gives a frame at a time")
            sources = [source]
        else:
            in_folder = isinstance(source, str | os.PathLike)
            sources = [item for item in expand(source) if not (in_folder and is_video(item))]
        loaded = [
            (_path_of(item), load_image(item, bgr=bgr, name=_path_of(item) or f"source[{index}]"))
            for index, item in enumerate(sources)
        ]
        results = self._detect(loaded, score_threshold, batch_size)
        return results[0] if is_single(source) else results

    def stream(
        self,
        source: Any,
        score_threshold: float = 0.3,
        *,
        batch_size: int | None = None,
        bgr: bool = False,
        on_error: Callable[[str, InputError], None] | None = None,
    ) -> Iterator[Detections]:
        """Detect objects in a long source, holding no more than a batch of it.

        Args:
            source: a video file, a camera's number, an rtsp:// address, or anything that `__call__` takes,
                or an iterable of those.
            score_threshold, batch_size, bgr: as in `__call__`.
            on_error: called with name and error of a bad image, which is passed over; without it the error
                is raised.

        Yields:
            Detections of each image or frame, in order; `path` is the file's.

        Raises:
            InputError: a number out of its range, at once; while it is iterated, what cannot be read, after
                the detections of all before it.
        """
        check_prediction(score_threshold, batch_size)
        images = iterate_images(source, bgr=bgr, on_error=on_error)
        # A camera waits for nobody; elsewhere a GPU has enough to choose equal shapes from.
        size = batch_size or (1 if is_live(source) or self.device.type == "cpu" else MOST)
        return self._stream(images, size, score_threshold, batch_size)

    def evaluate(
        self,
        data: str | Path,
        split: str | None = None,
        *,
        images: str | Path | None = None,
        batch_size: int | None = None,
        metric_backend: str | None = None,
    ) -> CocoResult:
        """COCO's figures on a data set, of this predictor as it runs: precision, NMS, exported file.

        Classes are matched by name. Objects of a class that it does not know are left out, and so are, in the
        mean, classes that the set does not have; both are printed.

        Args:
            data: a folder of COCO, Pascal VOC, YOLO or CVAT files; images: their pictures, where they are not
                beside.
            split: "train", "val", "test"; by default the first of test, val, the whole set, train.
            batch_size: as in `__call__`.
            metric_backend: "hotcoco" or "pycocotools"; the figures are the same.

        Returns:
            `.figures["AP"]` in [0, 1], `.per_class["cat"]["AP"]`, `.table()` as text.

        Raises:
            InputError: no such data set or split, no class in common, or an image that cannot be read.
        """
        from .evaluate_on import evaluate_on  # brings the metric's packages along

        check_prediction(0.0, batch_size)
        return evaluate_on(
            lambda pixels: self._predict(pixels, batch_size),
            self.categories,
            data,
            split=split,
            images=images,
            metric_backend=metric_backend,
        )

    def _stream(
        self,
        images: Iterator[tuple[str, np.ndarray]],
        size: int,
        score_threshold: float,
        batch_size: int | None,
    ) -> Iterator[Detections]:
        for chunk, error in _chunks(images, size):
            yield from self._detect(chunk, score_threshold, batch_size)
            if error is not None:
                raise error

    def _detect(
        self, images: Sequence[tuple[str, np.ndarray]], score_threshold: float, batch_size: int | None
    ) -> list[Detections]:
        predictions = self._predict([image for _, image in images], batch_size)
        results = []
        for (path, image), prediction in zip(images, predictions, strict=True):
            keep = prediction.scores >= score_threshold
            scores, labels, boxes = (part[keep] for part in prediction)
            results.append(Detections(boxes, scores, labels, self.categories, image, path))
        return results

    @torch.inference_mode()
    def _predict(self, images: Sequence[np.ndarray], batch_size: int | None) -> list[Prediction]:
        inputs = [self.transforms(torch.from_numpy(image).permute(2, 0, 1)) for image in images]
        return self.predict_inputs(inputs, [image.shape[:2] for image in images], batch_size)

    @torch.inference_mode()
    def predict_inputs(
        self,
        inputs: Sequence[Tensor],
        original_sizes: Sequence[tuple[int, ...]],
        batch_size: int | None = None,
    ) -> list[Prediction]:
        """Detections of what `transforms` has made of images; those of one shape share batches.

        Args:
            inputs: (3, H, W) uint8 each.
            original_sizes: (height, width) of each image itself: boxes are pixels of these.
            batch_size: as in `__call__`.
        """
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for index, tensor in enumerate(inputs):
            by_shape[tensor.shape].append(index)
        predictions: dict[int, Prediction] = {}
        for (_, height, width), indices in by_shape.items():
            size = batch_size or automatic_batch_size(height, width, self.device)
            sizes = [(original_sizes[i][0], original_sizes[i][1]) for i in indices]
            found = self._in_batches([inputs[i] for i in indices], sizes, size)
            predictions.update(zip(indices, found, strict=True))
        return [predictions[i] for i in range(len(inputs))]

    def _in_batches(
        self, inputs: list[Tensor], sizes: list[tuple[int, int]], batch_size: int
    ) -> Iterable[Prediction]:
        """Inputs of one shape; a batch that does not fit into memory is halved."""
        found: list[Prediction] = []
        while len(found) < len(inputs):
            part = slice(len(found), len(found) + batch_size)
            try:
                batch = self.predict_batch(torch.stack(inputs[part]).to(self.device), sizes[part])
            except torch.OutOfMemoryError:
                if batch_size == 1:
                    raise
                batch_size //= 2
                continue
            found += [Prediction(*(tensor.cpu() for tensor in prediction)) for prediction in batch]
        return found


def _chunks(
    images: Iterator[tuple[str, np.ndarray]], size: int
) -> Iterator[tuple[list[tuple[str, np.ndarray]], InputError | None]]:
    """Some images at a time, and the error that ended them with the last."""
    while True:
        chunk, error = [], None
        try:
            for image in islice(images, size):
                chunk.append(image)  # what was read before an error counts
        except InputError as broken:
            error = broken
        if chunk or error:
            yield chunk, error
        if error or len(chunk) < size:
            return


def _path_of(source: object) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else ""
