"""What a Detector, or an exported model, is worth on a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..categories import Categories
from ..data import CocoDataset
from ..data.category_matching import match_categories
from ..data.formats import find_data
from ..evaluation import CocoResult, DetectionTable, evaluate_detections
from ..evaluation.known_classes import with_known_classes
from ..structures import Prediction

_AT_ONCE = 16  # decoded images in memory
_OF = "the detector"  # in messages


def evaluate_on(
    predict: Callable[[Sequence[np.ndarray]], list[Prediction]],
    known: Categories,
    data: str | Path,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    metric_backend: str | None = None,
) -> CocoResult:
    """COCO's figures of whatever finds objects.

    Args:
        predict: (H, W, 3) uint8 RGB images -> every detection of each.
        known: what its labels mean.
        data, split, images: as `Predictor.evaluate`.

    Raises:
        InputError: as `Predictor.evaluate`.
    """
    source = find_data(data, images)
    part = source.split_to_measure(split)
    content = part.read().refuse_problems(part.source)
    content = with_known_classes(content, known, str(source.path), _OF)
    with TemporaryDirectory() as folder:
        annotations = Path(folder, "annotations.json")
        annotations.write_text(json.dumps(content), encoding="utf-8")
        # Pictures turned as their boxes were drawn, not as a viewer would.
        dataset = CocoDataset(str(annotations), str(part.images.absolute()), max_left_out=1.0)
        used = {int(annotation["category_id"]) for annotation in content["annotations"]}
        own = Categories.contiguous(content["categories"])
        categories = match_categories(own, known, used, str(source.path), _OF)
        tables, image_ids = [], []
        for start in range(0, len(dataset), _AT_ONCE):
            samples = [dataset[i] for i in range(start, min(start + _AT_ONCE, len(dataset)))]
            found = predict([sample.image.permute(1, 2, 0).numpy() for sample in samples])
            for sample, prediction in zip(samples, found, strict=True):
                image_ids.append(sample.target.image_id)
                tables.append(DetectionTable.of_image(prediction, sample.target.image_id, categories))
        return evaluate_detections(
            annotations, DetectionTable.concatenated(tables), image_ids, metric_backend
        )
