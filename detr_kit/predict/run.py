"""Detections for many sources, written to a folder: what `detr-kit predict` does."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..detections import Detections
from ..errors import InputError
from ..predictor import Predictor
from ..sources import VideoReader, VideoWriter, is_video
from .output_names import json_path, plan_outputs
from .window import Window, WindowClosed


@dataclass
class PredictReport:
    """What became of the sources.

    Attributes:
        done: images and videos written.
        skipped: those that were there already.
        failed: the error of each that could not be read.
        objects: how many of each class were found.
    """

    done: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    objects: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in self.objects.most_common())
        lines = [f"{self.done} done: {found or 'no object'}" if self.done else "0 done"]
        if self.skipped:
            lines.append(f"{self.skipped} were there already (--overwrite does them again)")
        if self.failed:
            lines.append(f"{len(self.failed)} could not be read:")
        return "\n".join([*lines, *(f"  {error}" for error in self.failed)])


@dataclass
class PredictRun:
    """Draws the detections of every source into a folder.

    What is in the folder already is not done again, so that a run that was cut off goes on where it stopped:
    every file is written under a hidden name and is whole as soon as it has its own.

    Args:
        predictor: a Detector, or an exported model.
        out: the folder; see `plan_outputs` for the names in it.
        score_threshold, batch_size: as in `Predictor.__call__`.
        write_json: NAME.json beside each picture, NAME.jsonl with a line a frame beside each video.
        show: open a window too; it ends the run when the user presses q.
        overwrite: do again what is there already.
        quiet: no progress bar.
    """

    predictor: Predictor
    out: str | Path
    score_threshold: float = 0.3
    batch_size: int | None = None
    write_json: bool = False
    show: bool = False
    overwrite: bool = False
    quiet: bool = False

    def __call__(self, sources: Sequence[str | int]) -> PredictReport:
        """Predict.

        Args:
            sources: images, URLs, folders, patterns, videos, camera numbers.

        Returns:
            What was done; what could not be read is in `failed` and stops nothing.

        Raises:
            InputError: a folder or pattern without images, a place that cannot be written, no screen to show
                a window on.
        """
        plan = plan_outputs(sources, Path(self.out))
        try:
            Path(self.out).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {self.out}: {error.strerror or error}") from error
        self.report = PredictReport()
        plan = self._without_others(plan)
        todo = {item: path for item, path in plan.items() if self.overwrite or not self._is_done(path)}
        self.report.skipped = len(plan) - len(todo)
        self.window = Window() if self.show else None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=Console(stderr=True), disable=self.quiet)
        with self.progress, contextlib.suppress(WindowClosed):
            self._predict_images({str(i): path for i, path in todo.items() if not is_video(i)})
            for item, path in todo.items():
                if is_video(item):
                    self._predict_video(item, path)
        return self.report

    def _without_others(self, plan: dict[str | int | Path, Path]) -> dict[str | int | Path, Path]:
        """Leave out, and report, sources whose name is taken by the picture of another source.

        `.sources.json` in the folder keeps what each picture was made of.
        """
        record = Path(self.out) / ".sources.json"
        made_of = json.loads(record.read_text()) if record.is_file() else {}
        own = {}
        for item, path in plan.items():
            name, source = path.relative_to(self.out).as_posix(), _identity(item)
            former = made_of.get(name, source)
            if former != source and self._is_done(path) and not self.overwrite:
                self.report.failed.append(
                    f"{item}: {path} is the picture of {former} already; choose another --out, or --overwrite"
                )
                continue
            own[item], made_of[name] = path, source
        partial = _partial(record)
        partial.write_text(json.dumps(made_of, indent=1))
        os.replace(partial, record)
        return own

    def _is_done(self, path: Path) -> bool:
        return path.is_file() and (not self.write_json or json_path(path).is_file())

    def _predict_images(self, images: dict[str, Path]) -> None:
        task = self.progress.add_task("images", total=len(images), visible=bool(images))

        def failed(name: str, error: InputError) -> None:
            self.report.failed.append(str(error))
            self.progress.advance(task)

        for detections in self.predictor.stream(
            images, self.score_threshold, batch_size=self.batch_size, on_error=failed
        ):
            path = images[detections.path]
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.write_json:  # first: the picture says that the image is done
                partial = _partial(json_path(path))
                partial.write_text(detections.to_json() + "\n")
                os.replace(partial, json_path(path))
            os.replace(detections.save(_partial(path)), path)
            self._count(detections)
            self.report.done += 1
            self.progress.advance(task)
            if self.window:
                self.window.show(detections.plot(), wait=True)

    def _predict_video(self, source: str | int | Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(json_path(path))
        try:
            with VideoReader(source) as video, VideoWriter(path, video.fps, video.live) as writer:
                task = self.progress.add_task(path.name, total=video.num_frames or None)
                batch_size = 1 if video.live else self.batch_size
                frames = self.predictor.stream(video, self.score_threshold, batch_size=batch_size)
                with partial.open("w") as lines:
                    for number, found in enumerate(frames):
                        picture = found.plot()
                        writer.write(np.asarray(picture))
                        row = replace(found, path=str(source)).to_dict()
                        lines.write(json.dumps({"frame": number, **row}) + "\n")
                        self._count(found)
                        self.progress.advance(task)
                        if self.window:
                            self.window.show(picture)
            if self.write_json:
                os.replace(partial, json_path(path))
            self.report.done += 1
        except InputError as error:
            self.report.failed.append(str(error))
        finally:
            partial.unlink(missing_ok=True)

    def _count(self, detections: Detections) -> None:
        self.report.objects.update(detections.class_names)


def _identity(item: str | int | Path) -> str:
    return str(item) if isinstance(item, int) or "://" in str(item) else str(Path(item).resolve())


def _partial(path: Path) -> Path:
    """A hidden name beside a file, with its ending."""
    return path.with_name(f".partial.{path.name}")
