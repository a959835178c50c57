"""Detections for many sources, written to a folder: what `detr-kit predict` does."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError
from ..given_paths import check_output_folder
from ..inference import Detections
from ..inference.predictor import Predictor
from ..number_ranges import check_prediction
from ..sources import BrokenOff, VideoReader, VideoWriter, is_video
from .output_names import json_path, plan_outputs
from .record import Made, Record
from .report import PredictReport
from .window import Window, WindowClosed

Plan = dict[str | int | Path, Path]


@dataclass
class PredictRun:
    """Draws the detections of every source into a folder.

    What is in the folder already, made of the same source with the same weights and settings, is not done
    again, so that a run that was cut off goes on where it stopped: every file is written under a hidden name
    and is whole as soon as it has its own. What was made otherwise is made anew.

    Args:
        predictor: a Detector, or an exported model.
        out: the folder; see `plan_outputs` for the names in it.
        score_threshold, batch_size: as in `Predictor.__call__`.
        write_json: NAME.json beside each picture, NAME.jsonl with a line a frame beside each video.
        show: open a window too; it ends the run when the user presses q.
        overwrite: do again what is there already.
        quiet: no progress bar.

    Raises:
        InputError: a number out of its range.
    """

    predictor: Predictor
    out: str | Path
    score_threshold: float = 0.3
    batch_size: int | None = None
    write_json: bool = False
    show: bool = False
    overwrite: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        check_prediction(self.score_threshold, self.batch_size)

    def __call__(self, sources: Sequence[str | int]) -> PredictReport:
        """Predict.

        Args:
            sources: images, URLs, folders, patterns, videos, camera numbers.

        Returns:
            What was done; what could not be read is in `failed` and stops nothing.

        Raises:
            InputError: a folder or pattern without images, a place that cannot be written, no screen to show
                a window on. Nothing has been written then.
        """
        out = Path(self.out)
        plan = plan_outputs(sources, out)
        check_output_folder(out)
        self.window = Window() if self.show else None
        self.report, self.record = PredictReport(), Record(out)
        self.settings = {**self.predictor.settings(), "score_threshold": self.score_threshold}
        todo = self._to_do(plan)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=Console(stderr=True), disable=self.quiet)
        with self.progress, contextlib.suppress(WindowClosed):
            videos = {item: path for item, path in todo.items() if is_video(item)}
            self._predict_images({str(item): path for item, path in todo.items() if item not in videos})
            for item, path in videos.items():
                self._predict_video(item, path)
        return self.report

    def _to_do(self, plan: Plan) -> Plan:
        """The sources without an output, and those whose output was made otherwise."""
        todo: Plan = {}
        self.why: dict[Path, str] = {}
        for item, path in plan.items():
            if self.overwrite or not path.is_file():
                todo[item] = path
                continue
            made, now = self.record.of(path), Made.of(item, self.settings)
            if made is None:
                what = "is there and was not made by predict, as far as is known"
                self.report.failed.append(f"{item}: {path} {what}; choose another --out, or --overwrite")
            elif made.source != now.source:
                what = f"is the picture of {made.source} already"
                self.report.failed.append(f"{item}: {path} {what}; choose another --out, or --overwrite")
            elif differences := made.differences(now):
                self.why[path] = ", ".join(differences)
                todo[item] = path
            elif self.write_json and not json_path(path).is_file():
                todo[item] = path
            else:
                self.report.skipped += 1
        return todo

    def _predict_images(self, images: dict[str, Path]) -> None:
        task = self.progress.add_task("images", total=len(images), visible=bool(images))

        def failed(name: str, error: InputError) -> None:
            self.report.failed.append(str(error))
            self.progress.advance(task)

        for detections in self.predictor.stream(
            list(images), self.score_threshold, batch_size=self.batch_size, on_error=failed
        ):
            path = images[detections.path]
            made = Made.of(detections.path, self.settings)
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.write_json:  # first: the picture says that the image is done
                partial = _partial(json_path(path))
                partial.write_text(detections.to_json() + "\n", encoding="utf-8")
                os.replace(partial, json_path(path))
            os.replace(detections.save(_partial(path)), path)
            self._note(path, made)
            self._count(detections)
            self.progress.advance(task)
            if self.window:
                self.window.show(detections.plot(), wait=True)

    def _predict_video(self, source: str | int | Path, path: Path) -> None:
        """A video as far as it can be read; what was written of one that broke off is kept."""
        made = Made.of(source, self.settings)
        partial = _partial(json_path(path))
        keep = False
        try:
            with VideoReader(source) as video, VideoWriter(path, video.fps, video.live) as writer:
                keep = video.live
                if video.live:
                    self.progress.print(f"{source}: until Ctrl-C; what was seen by then is kept")
                broken = self._write_frames(source, video, writer, partial)
            keep = True
            self._note(path, made._replace(whole=broken is None))
            if broken is not None:
                self.report.failed.append(f"{broken}; {path} has what was read")
        except InputError as error:
            self.report.failed.append(str(error))
        finally:
            if partial.is_file():
                if self.write_json and keep:
                    os.replace(partial, json_path(path))
                partial.unlink(missing_ok=True)

    def _write_frames(
        self, source: str | int | Path, video: VideoReader, writer: VideoWriter, partial: Path
    ) -> BrokenOff | None:
        """All frames to the video and its JSON lines; how it broke off where it did."""
        task = self.progress.add_task(writer.path.name, total=video.num_frames or None)
        batch_size = 1 if video.live else self.batch_size
        with contextlib.ExitStack() as stack:
            lines = None
            try:
                for number, found in enumerate(
                    self.predictor.stream(video, self.score_threshold, batch_size=batch_size)
                ):
                    picture = found.plot()
                    writer.write(np.asarray(picture))
                    lines = lines or stack.enter_context(partial.open("w", encoding="utf-8"))
                    row = replace(found, path=str(source)).to_dict()
                    lines.write(json.dumps({"frame": number, **row}) + "\n")
                    self._count(found)
                    self.progress.advance(task)
                    if self.window:
                        self.window.show(picture)
            except BrokenOff as error:
                return error
        return None

    def _note(self, path: Path, made: Made) -> None:
        self.record.add(path, made)
        self.report.done += 1
        if path in self.why:
            self.report.again[self.why[path]] += 1

    def _count(self, detections: Detections) -> None:
        self.report.objects.update(detections.class_names)


def _partial(path: Path) -> Path:
    """A hidden name beside a file, with its ending."""
    return path.with_name(f".partial.{path.name}")
