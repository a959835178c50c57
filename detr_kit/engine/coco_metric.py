"""The COCO metric as mmengine's evaluator calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from ..categories import Categories
from ..errors import InputError
from ..evaluation import MOST_DETECTIONS, DetectionTable, evaluate_detections, metric_backend_for
from ..evaluation.confusion import confusion_of
from ..evaluation.error_pictures import draw_confusion, draw_worst_images
from ..evaluation.lost_ap import lost_ap
from ..registry import METRICS
from ..structures import ImageBatch, Prediction


@METRICS.register_module()
class CocoMetric(BaseMetric):
    """The twelve COCO figures over the images of the evaluated data set, and AP for each class.

    Ground truth and category ids come from the data set itself, so they cannot be another's.

    Args:
        outfile: where to write the detections as COCO JSON; None for nowhere.
        pictures: folder for `confusion_matrix.png` and `worst_images.png`, with which the log says what AP50
            is lost to; None draws none.
        metric_backend: "hotcoco" or "pycocotools"; "auto" or None: hotcoco where it is installed.

    Raises:
        InputError: a `metric_backend` that is not there.
    """

    default_prefix = "coco"

    def __init__(
        self, outfile: str | None = None, pictures: str | None = None, metric_backend: str | None = None
    ) -> None:
        # "gpu" is mmengine's word for gathering over the process group, whatever the device; "cpu" gathers
        # through a folder that all machines would have to share.
        super().__init__(collect_device="gpu")
        self.outfile, self.pictures = outfile, pictures
        self.metric_backend = metric_backend_for(metric_backend)

    def process(self, data_batch: ImageBatch, data_samples: Sequence[Prediction]) -> None:
        """Keep the detections of one batch."""
        if not self.results:
            self.categories = self._categories()
        for target, prediction in zip(data_batch.targets, data_samples, strict=True):
            detections = DetectionTable.of_image(prediction, target.image_id, self.categories)
            self.results.append((target.image_id, target.path, detections))

    def compute_metrics(self, results: list[tuple[int, str, DetectionTable]]) -> dict[str, float]:
        """Evaluate all detections; the tables go to the log."""
        detections = DetectionTable.concatenated([image for _, _, image in results])
        if self.outfile is not None:
            Path(self.outfile).parent.mkdir(parents=True, exist_ok=True)
            Path(self.outfile).write_text(json.dumps(detections.to_coco()))
        image_ids = [image_id for image_id, _, _ in results]
        annotations = self.dataset_meta["annotations"]
        result = evaluate_detections(annotations, detections, image_ids, self.metric_backend)
        logger = MMLogger.get_current_instance()
        logger.info("\n" + result.table())
        if result.max_detections > MOST_DETECTIONS:
            logger.info(
                f"a picture of this set has more than {MOST_DETECTIONS} objects: the figures are over "
                f"the best {result.max_detections} detections of each class (COCO's own: {MOST_DETECTIONS})"
            )
        if self.outfile is not None:
            logger.info(f"{len(detections)} detections written to {self.outfile}")
        if self.pictures is not None:
            paths = {image_id: path for image_id, path, _ in results}
            self._draw(Path(self.pictures), detections.to_coco(), paths)
            self._say_what_is_lost(detections, list(paths))
        return result.measured

    def _categories(self) -> Categories:
        categories = Categories.from_metadata(self.dataset_meta or {})
        if categories is None:
            raise InputError("CocoMetric: the data set does not say what its classes are; use CocoDataset")
        return categories

    def _say_what_is_lost(self, detections: DetectionTable, image_ids: list[int]) -> None:
        """Into the log: what AP50 is lost to, and what to try next."""
        found = lost_ap(self.dataset_meta["annotations"], detections, image_ids)
        if found is not None:
            MMLogger.get_current_instance().info(f"\n{found.table()}{found.advice()}")

    def _draw(self, folder: Path, detections: list[dict[str, Any]], paths: dict[int, str]) -> None:
        annotations = self.dataset_meta["annotations"]
        folder.mkdir(parents=True, exist_ok=True)
        confusion = confusion_of(annotations, detections, list(paths))
        draw_confusion(confusion, folder / "confusion_matrix.png")
        draw_worst_images(confusion, annotations, detections, paths, folder / "worst_images.png")
