"""Every export ends here: the file against the network it came from, on real images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ..data.image_io import read_image
from ..evaluation import evaluate_detections
from ..inference import Detections, Detector, Predictor
from ..structures import Prediction
from .compare import Drift, Matches, latencies, match
from .exported_detector import ExportedDetector
from .layer_drift import LayerDrift, first_to_drift, layer_drifts
from .verification_set import VerificationSet


@dataclass(frozen=True)
class Limits:
    """Above these the verification fails.

    Attributes:
        scores, boxes: largest drift of detections that both have; boxes normalised to the image.
        mean_iou: least mean IoU of the network's detections with the file's.
        ap_drop: in [0, 1].
        layer: relative error from which on a layer counts as drifting; names the culprit, fails nothing.
    """

    scores: float
    boxes: float
    mean_iou: float
    ap_drop: float
    layer: float


# By precision; sound exports of the shapes detector stay well below (docs/export.md).
LIMITS = {
    "fp32": Limits(scores=1e-3, boxes=1e-3, mean_iou=0.999, ap_drop=0.001, layer=1e-3),
    "fp16": Limits(scores=0.05, boxes=0.02, mean_iou=0.98, ap_drop=0.005, layer=0.02),
    "int8": Limits(scores=0.5, boxes=0.25, mean_iou=0.85, ap_drop=0.02, layer=0.1),
}


@dataclass(frozen=True)
class Verification:
    """What the verifier found.

    Attributes:
        path, format, precision: of the file.
        images: the name of the set; num_images.
        outputs: drift of the file's own outputs: scores sorted by rank, or logits and boxes of each query.
        matches: see Matches.
        ap: (network, file) in [0, 1], None without annotations.
        megabytes: (the network's parameters in float32, the file).
        milliseconds: (network, file), medians of single images taken in turns.
        first_layer: the first layer to drift; None where all keep to the limit.
        layers: of all that can be seen in the file.
        failures: why it failed; empty where it passed.
        nms_iou_threshold: at which ExportedDetector, not the file, leaves duplicates out.
    """

    path: str
    format: str
    precision: str
    images: str
    num_images: int
    outputs: dict[str, Drift]
    matches: Matches
    ap: tuple[float, float] | None
    megabytes: tuple[float, float]
    milliseconds: tuple[float, float]
    first_layer: LayerDrift | None
    layers: list[LayerDrift]
    failures: list[str]
    nms_iou_threshold: float | None = None

    @property
    def passed(self) -> bool:
        """Whether everything is within the limits."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**dataclasses.asdict(self), "passed": self.passed}


def verify_export(
    detector: Detector,
    path: str | Path,
    images: VerificationSet,
    limits: Limits | None = None,
    score_threshold: float = 0.3,
    repeats: int = 15,
) -> Verification:
    """Run an exported file and the network it came from on the same images.

    Args:
        detector: the float32 original.
        path: the exported file.
        images: to run on.
        limits: LIMITS of the file's precision by default.
        score_threshold: detections from here on have to be found again.
        repeats: runs of each for the latency.

    Raises:
        InputError: the file or an image cannot be read.
    """
    exported = ExportedDetector(path)
    limits = limits or LIMITS[exported.metadata.precision]
    ours, theirs, rows = detect_all(detector, exported, images)
    matches = match(ours, theirs, score_threshold)
    ap = _average_precision(images, rows) if images.annotations else None
    first_image = read_image(images.images[0], apply_orientation=True)
    drifts = layer_drifts(detector.network, exported.model, _inputs(exported, first_image))
    first = first_to_drift(drifts, limits.layer)
    return Verification(
        path=str(path),
        format=exported.metadata.format,
        precision=exported.metadata.precision,
        images=images.name,
        num_images=len(images.images),
        outputs=_output_drift(detector, exported, images, ours, theirs),
        matches=matches,
        ap=ap,
        megabytes=(4e-6 * sum(p.numel() for p in detector.network.parameters()), _megabytes(Path(path))),
        milliseconds=_latency(detector, exported, first_image, repeats),
        first_layer=first,
        layers=drifts,
        failures=failures_of(matches, ap, limits),
        nms_iou_threshold=exported.postprocessor.nms_iou_threshold,
    )


def failures_of(matches: Matches, ap: tuple[float, float] | None, limits: Limits) -> list[str]:
    """What is above its limit, in words; nothing where all is well."""
    checks = [
        ("score drift", matches.scores.largest, limits.scores),
        ("box drift", matches.boxes.largest, limits.boxes),
        ("1 − mean IoU", 1 - matches.mean_iou, 1 - limits.mean_iou),
        ("AP lost", ap[0] - ap[1] if ap else 0.0, limits.ap_drop),
    ]
    # Written so that NaN fails.
    return [f"{name} {value:.4g} is above {limit:.4g}" for name, value, limit in checks if not value <= limit]


def _pairs(
    detector: Predictor, exported: Predictor, images: VerificationSet
) -> Iterator[tuple[Detections, Detections]]:
    files = iter(images.images)
    while chunk := list(islice(files, 16)):
        yield from zip(detector(chunk, score_threshold=0), exported(chunk, score_threshold=0), strict=True)


def detect_all(
    detector: Predictor, exported: Predictor, images: VerificationSet
) -> tuple[list[Prediction], list[Prediction], tuple[list, list]]:
    """All detections of both on the images with normalised boxes, and as rows of COCO's format."""
    predictions: tuple[list[Prediction], list[Prediction]] = ([], [])
    rows: tuple[list, list] = ([], [])
    for index, pair in enumerate(_pairs(detector, exported, images)):
        for side, found in enumerate(pair):
            height, width = found.image.shape[:2]
            normalised = found.boxes / torch.tensor([width, height, width, height])
            predictions[side].append(Prediction(found.scores, found.labels, normalised))
            if images.annotations:
                rows[side].extend(found.to_coco(images.image_ids[index]))
    return *predictions, rows


def _average_precision(images: VerificationSet, rows: tuple[list, list]) -> tuple[float, float]:
    assert images.annotations is not None
    ours, theirs = (
        evaluate_detections(images.annotations, found, images.image_ids).figures["AP"] for found in rows
    )
    return ours, theirs


def _output_drift(
    detector: Detector,
    exported: ExportedDetector,
    images: VerificationSet,
    ours: list[Prediction],
    theirs: list[Prediction],
) -> dict[str, Drift]:
    if exported.metadata.postprocess:
        # By rank: sorted scores can be compared without saying which box is which.
        scores = [(a.scores, b.scores) for a, b in zip(ours, theirs, strict=True)]
        # Without duplicates one side may have fewer.
        counts = [min(len(a), len(b)) for a, b in scores]
        return {"scores": Drift.of([(a[:n], b[:n]) for (a, b), n in zip(scores, counts, strict=True)])}
    logits, boxes = [], []
    for file in images.images[:8]:
        inputs = _inputs(exported, read_image(file, apply_orientation=True))
        with torch.inference_mode():
            expected = detector.network(*(tensor.to(detector.device) for tensor in inputs))
        found = exported.model(*inputs)
        logits.append((expected.logits.cpu(), found[0]))
        boxes.append((expected.boxes.cpu(), found[1]))
    return {"logits": Drift.of(logits), "boxes": Drift.of(boxes)}


def _inputs(exported: ExportedDetector, image: Any) -> tuple[torch.Tensor, ...]:
    return exported.inputs(exported.transforms(torch.from_numpy(image).permute(2, 0, 1))[None])


def _latency(detector: Detector, exported: ExportedDetector, image: Any, repeats: int) -> tuple[float, float]:
    def call_of(predictor: Predictor):
        pixels = predictor.transforms(torch.from_numpy(image).permute(2, 0, 1))[None].to(predictor.device)

        @torch.inference_mode()
        def call() -> object:
            return predictor.predict_batch(pixels, [image.shape[:2]])

        return call

    network, file = latencies([call_of(detector), call_of(exported)], repeats)
    return network, file


def _megabytes(path: Path) -> float:
    """Of the file, and of OpenVINO's weights beside it."""
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(file.stat().st_size for file in files) / 1e6
