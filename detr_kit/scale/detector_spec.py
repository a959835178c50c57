"""What a Detector is made from, so that every process can make its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.location import default_checkpoint, existing_checkpoint, is_elsewhere
from ..inference import Detector
from ..storage import absolute


@dataclass(frozen=True)
class DetectorSpec:
    """The Detector's arguments, by its names."""

    model: str | None = None
    checkpoint: str = ""
    device: str | None = None
    half: str | None = None
    compile: bool = False
    nms_iou_threshold: float | None = None

    def located(self) -> DetectorSpec:
        """With the checkpoint's name where it has none, and paths that do not depend on the folder.

        Raises:
            InputError: no such checkpoint.
        """
        checkpoint = self.checkpoint or default_checkpoint(self.model)
        there = existing_checkpoint(checkpoint)
        named = is_elsewhere(checkpoint) or checkpoint == "builtin"
        model = absolute(self.model) if self.model and Path(self.model).is_file() else self.model
        return DetectorSpec(
            model,
            checkpoint if named else absolute(there),
            self.device,
            self.half,
            self.compile,
            self.nms_iou_threshold,
        )

    def build(self, device: str | None = None) -> Detector:
        """A Detector, on another device if one is named.

        Raises:
            InputError: what the Detector refuses.
        """
        return Detector(
            self.model,
            self.checkpoint,
            device or self.device,
            half=self.half,
            compile=self.compile,
            nms_iou_threshold=self.nms_iou_threshold,
        )

    def settings(self, detector: Detector) -> dict[str, Any]:
        """What decides the detections; precision as it was asked for, since "auto" differs by machine."""
        return {**detector.settings(), "half": self.half or "float32"}
