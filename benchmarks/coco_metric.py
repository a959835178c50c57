"""The COCO metric on detections of the size of COCO's val2017: what `detr-kit test` takes beyond inference.

python benchmarks/coco_metric.py --out benchmarks/results/coco_metric.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger
from timing import interleaved_medians

from detr_kit.categories import COCO_91, UNUSED
from detr_kit.engine import CocoMetric
from detr_kit.evaluation import DetectionTable, load_ground_truth
from detr_kit.evaluation.coco_evaluation import numbered
from detr_kit.evaluation.metric_backend import curves
from detr_kit.structures import ImageBatch, Prediction, Target

BACKENDS = ("hotcoco", "pycocotools")
USED = [category for category, name in zip(COCO_91.ids, COCO_91.names, strict=True) if name != UNUSED]
SIDE = 640


def make_set(images: int, boxes: int, detections: int) -> tuple[dict, list[Prediction]]:
    """Ground truth with polygons and crowds as COCO has it, and detections, half of them near objects."""
    rng = np.random.default_rng(0)
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (boxes, 2)))
    xywh = np.concatenate((rng.uniform(0, SIDE - sides), sides), axis=1)
    owner, classes = rng.integers(0, images, boxes), rng.choice(USED, boxes)
    polygons = rng.uniform(0, SIDE, (boxes, 60)).round(2)
    annotations = [
        {"id": i + 1, "image_id": int(owner[i]), "category_id": int(classes[i]), "bbox": xywh[i].tolist(),
         "area": float(xywh[i, 2:].prod() * 0.7), "iscrowd": int(i % 80 == 0),
         "segmentation": [polygons[i].tolist()]}
        for i in range(boxes)
    ]  # fmt: skip
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": SIDE, "height": SIDE} for i in range(images)],
        "categories": [{"id": category, "name": COCO_91.names[category]} for category in USED],
        "annotations": annotations,
    }
    predictions = []
    for image_id in range(images):
        own = np.flatnonzero(owner == image_id)
        found = rng.uniform(0, SIDE / 2, (detections, 4))
        labels = rng.choice(USED, detections)
        if len(own):
            near = rng.choice(own, detections // 2)
            found[: len(near)] = xywh[near] * rng.normal(1, 0.08, (len(near), 4))
            labels[: len(near)] = classes[near]
        found[:, 2:] += found[:, :2]
        scores = np.sort(rng.beta(0.5, 3, detections))[::-1].copy()
        order = rng.permutation(detections)
        predictions.append(
            Prediction(
                torch.tensor(scores, dtype=torch.float32),
                torch.tensor(labels[order]),
                torch.tensor(found[order], dtype=torch.float32),
            )
        )
    return truth, predictions


def whole(backend: str, annotations: str, predictions: list[Prediction]) -> dict[str, float]:
    """All that the metric does in `detr-kit test`: image by image, then the figures and tables."""
    metric = CocoMetric(metric_backend=backend)
    metric.dataset_meta = {"annotations": annotations, **COCO_91.to_metadata()}
    nothing, no_boxes = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)
    pixels = torch.zeros(0)
    for image_id, prediction in enumerate(predictions):
        target = Target(nothing, no_boxes, (SIDE, SIDE), (SIDE, SIDE), image_id)
        metric.process(ImageBatch(pixels, pixels, [target]), [prediction])
    return metric.evaluate(len(predictions))


def timed(clock: Callable[[], float], function: Callable[[], Any]) -> tuple[float, Any]:
    start = clock()
    result = function()
    return (clock() - start) * 1e3, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--boxes", type=int, default=35000)
    parser.add_argument("--detections", type=int, default=100, help="of an image")
    parser.add_argument("--runs", type=int, default=3, help="of each backend, in turn, and one before")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time of all threads: a busy machine"
    )
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    MMLogger.get_instance("coco_metric", log_level="WARNING")  # the tables are made, and not shown
    truth, predictions = make_set(arguments.images, arguments.boxes, arguments.detections)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "truth.json")
        Path(file).write_text(json.dumps(truth))

        def run(backend: str) -> None:
            figures[backend] = whole(backend, file, predictions)

        runs = {backend: partial(run, backend) for backend in BACKENDS}
        times = interleaved_medians(runs, seconds=0, at_least=arguments.runs, clock=clock)
        assert figures["hotcoco"] == figures["pycocotools"], figures
        parts = {}
        parts["reading annotations"], coco = timed(clock, lambda: load_ground_truth(file))
        parts["detections as columns"], table = timed(
            clock,
            lambda: DetectionTable.concatenated(
                [DetectionTable.of_image(p, image_id, COCO_91) for image_id, p in enumerate(predictions)]
            ),
        )
        parts["numbering"], evaluation = timed(
            clock, lambda: numbered(coco, table, set(range(arguments.images)))
        )
        parts["curves"], _ = timed(clock, lambda: curves(evaluation, "hotcoco"))
    print("| | hotcoco s | pycocotools s | ratio |\n|---|---|---|---|")
    ours, theirs = (times[backend] / 1e3 for backend in BACKENDS)
    print(f"| whole metric | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f}× |")
    print("of which with hotcoco:", ", ".join(f"{name} {ms / 1e3:.2f} s" for name, ms in parts.items()))
    print("the figures are equal, to the last digit:", figures["hotcoco"])
    if arguments.out:
        machine = {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
        }
        report = {
            "machine": machine | {backend: version(backend) for backend in BACKENDS},
            "clock": clock.__name__, "images": arguments.images, "boxes": arguments.boxes,
            "detections": arguments.detections, "median_ms": times, "parts_ms": parts,
            "figures": figures["hotcoco"],
        }  # fmt: skip
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
