"""Figures that set two runs side by side: drift of outputs, boxes found again, latency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from ..structures import Prediction


@dataclass(frozen=True)
class Drift:
    """Largest and mean absolute difference of one output over all images."""

    largest: float
    mean: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[Tensor, Tensor]]) -> Drift:
        """From pairs of tensors of equal shape; what is not finite counts as infinite."""
        differences = torch.cat([torch.zeros(0), *((a - b).double().abs().flatten() for a, b in pairs)])
        if not differences.numel():
            return cls(0.0, 0.0)
        differences = differences.nan_to_num(nan=float("inf"))
        return cls(float(differences.max()), float(differences.mean()))


@dataclass(frozen=True)
class Matches:
    """Detections of the network looked for among those of the exported file.

    Attributes:
        total: detections looked for; found: those with a partner of their class and IoU ≥ 0.5.
        mean_iou, smallest_iou: with the best partner of the same class; 0 where there is none.
        boxes: drift of the found boxes, normalised to the image; scores: of their scores.
    """

    total: int
    found: int
    mean_iou: float
    smallest_iou: float
    boxes: Drift
    scores: Drift


def match(expected: Sequence[Prediction], exported: Sequence[Prediction], score_threshold: float) -> Matches:
    """Look for the network's detections in the exported file's.

    Args:
        expected, exported: all detections of each image, boxes normalised, best first.
        score_threshold: detections to look for; where no image has one, the best five of each.
    """
    keeps = [prediction.scores >= score_threshold for prediction in expected]
    if not any(keep.any() for keep in keeps):
        keeps = [torch.arange(len(prediction.scores)) < 5 for prediction in expected]
    ious: list[Tensor] = [torch.zeros(0)]
    boxes: list[tuple[Tensor, Tensor]] = []
    scores: list[tuple[Tensor, Tensor]] = []
    for ours, theirs, keep in zip(expected, exported, keeps, strict=True):
        ours = Prediction(*(part[keep] for part in ours))
        if len(theirs.scores) == 0:
            ious.append(torch.zeros(len(ours.scores)))
            continue
        overlap = box_iou(ours.boxes, theirs.boxes).nan_to_num(nan=0.0)
        overlap[ours.labels[:, None] != theirs.labels[None]] = 0
        # Among partners that overlap alike the one of the nearest score.
        nearness = (ours.scores[:, None] - theirs.scores[None]).abs().nan_to_num(nan=1.0)
        partner = (overlap - 1e-3 * nearness).argmax(1)
        best = overlap.gather(1, partner[:, None])[:, 0]
        ious.append(best)
        hit = best >= 0.5
        boxes.append((ours.boxes[hit], theirs.boxes[partner[hit]]))
        scores.append((ours.scores[hit], theirs.scores[partner[hit]]))
    flat = torch.cat(ious)
    return Matches(
        total=len(flat),
        found=int((flat >= 0.5).sum()),
        mean_iou=float(flat.mean()) if len(flat) else 0.0,
        smallest_iou=float(flat.min()) if len(flat) else 0.0,
        boxes=Drift.of(boxes),
        scores=Drift.of(scores),
    )


def latencies(
    calls: Sequence[Callable[[], object]], repeats: int, seconds: float = float("inf"), at_least: int = 3
) -> list[float]:
    """Median milliseconds of each call, taken in turns, so that a busy machine is busy for all of them.

    They end after so many repeats, or so many seconds where each had at least some.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    begin = time.perf_counter()
    for done in range(repeats):
        if done >= at_least and time.perf_counter() - begin > seconds:
            break
        for call, record in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            record.append(1000 * (time.perf_counter() - start))
    return [statistics.median(record) for record in times]
