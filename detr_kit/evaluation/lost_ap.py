"""What AP50 is lost to, and what to try next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.table import Table

from ..console_text import text_of
from .coco_evaluation import load_ground_truth, numbered
from .detection_table import DetectionTable
from .metric_backend import Evaluation, hotcoco_metric

# The kinds of TIDE: hotcoco's name, what it means, what helps.
_KINDS = {
    "classification": (
        "Cls",
        "the place is right and the class is wrong",
        "look at confusion_matrix.png for the pair of classes; more pictures of the rarer one, or --recipe "
        "balanced, which draws pictures with rare classes more often",
    ),
    "localisation": (
        "Loc",
        "the class is right and the box too far off (IoU 0.1 to 0.5)",
        "a larger --image-size, a longer run (--epochs); see in worst_images.png whether the annotated boxes "
        "are drawn alike",
    ),
    "both": (
        "Both",
        "class and place are wrong",
        "a longer run (--epochs), or --recipe strong: the network has not learnt these objects yet",
    ),
    "duplicates": (
        "Dupe",
        "the object was found already",
        "a lower model.postprocessor.nms_iou_threshold in the config (0.7, then 0.6), which needs no "
        "training; a longer run unlearns duplicates",
    ),
    "background": (
        "Bkg",
        "nothing is there",
        "look in worst_images.png for objects that nobody annotated; else pictures without objects, "
        "annotated as such, and --recipe strong",
    ),
    "missed": (
        "Miss",
        "an object without any detection",
        "a larger --image-size where they are small; a longer run, or --recipe strong",
    ),
}
_WORTH_NAMING = 0.01  # of AP50


@dataclass(frozen=True)
class LostAP:
    """The errors of a detector by kind (TIDE, Bolya et al. 2020), at IoU 0.5.

    Attributes:
        ap50: as it is.
        lost: kind -> what AP50 would gain if there were no error of this kind. Kinds hide each other, so that
            they do not add up to what is missing.
        counts: kind -> errors.
    """

    ap50: float
    lost: dict[str, float]
    counts: dict[str, int]

    @property
    def worst(self) -> str | None:
        """The kind that costs most; None where none costs a hundredth."""
        kind = max(self.lost, key=lambda kind: self.lost[kind])
        return kind if self.lost[kind] >= _WORTH_NAMING else None

    def advice(self) -> str:
        """The next thing to try."""
        if self.worst is None:
            return "no kind of error costs a hundredth of AP50; what is left is how exact the boxes are"
        _, meaning, remedy = _KINDS[self.worst]
        return f"most is lost to {self.worst} ({meaning}). Try next: {remedy}"

    def table(self) -> str:
        """The kinds, the dearest first, as text for a terminal."""
        table = Table(title=f"what AP50 = {self.ap50:.3f} is lost to")
        for name in ("kind", "lost", "errors", ""):
            table.add_column(name, justify="right" if name in ("lost", "errors") else "left")
        for kind in sorted(self.lost, key=lambda kind: -self.lost[kind]):
            table.add_row(kind, f"{self.lost[kind]:.3f}", str(self.counts[kind]), _KINDS[kind][1])
        return text_of(table, width=120)


def lost_ap(annotations: str | Path, detections: DetectionTable, image_ids: Sequence[int]) -> LostAP | None:
    """What AP50 is lost to; None where hotcoco is missing, which finds it, or where there is no detection.

    Args:
        annotations: the COCO file; detections: of its images; image_ids: those that were evaluated.
    """
    if find_spec("hotcoco") is None or len(detections) == 0:
        return None
    coco = load_ground_truth(annotations)
    return lost_ap_of(numbered(coco, detections, set(image_ids)))


def lost_ap_of(evaluation: Evaluation) -> LostAP:
    """Of detections that are numbered for a backend already."""
    metric = hotcoco_metric(evaluation)
    metric.evaluate()
    metric.accumulate()
    found = metric.tide_errors()
    return LostAP(
        ap50=float(found["ap_base"]),
        lost={kind: float(found["delta_ap"][name]) for kind, (name, _, _) in _KINDS.items()},
        counts={kind: int(found["counts"][name]) for kind, (name, _, _) in _KINDS.items()},
    )
