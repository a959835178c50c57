"""Millions of images into tables of detections."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError
from ..number_ranges import check_above_zero, check_count, check_nms, check_prediction
from ..storage import absolute
from .detector_spec import DetectorSpec
from .listing import list_images
from .part import PartPredictor
from .ray_engine import Actors, run_parts
from .report import DatasetReport, PartReport
from .requirements import require_packages
from .run_folder import RunFolder

IMAGES_PER_FILE = 256


def predict_dataset(
    sources: str | Iterable[str],
    out: str | Path,
    *,
    model: str | None = None,
    checkpoint: str = "",
    device: str | None = None,
    half: str | None = None,
    compile: bool = False,
    nms_iou_threshold: float | None = None,
    score_threshold: float = 0.3,
    batch_size: int | None = None,
    images_per_file: int = IMAGES_PER_FILE,
    threads: int = 4,
    engine: str = "local",
    actors: Actors | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> DatasetReport:
    """Detect objects in very many images: Parquet files with one row an image.

    A run that was cut off goes on where it stopped when it is called again, and does no finished file twice;
    images that have come since are added. Rows do not depend on the engine, on the number of actors, or on
    what died in between. One run at a time may write to a folder.

    Args:
        sources: images, folders, patterns, on this machine or at an address that fsspec knows
            ("s3://bucket/photos/*.jpg").
        out: the folder, or an address; see `run_folder`.
        model, checkpoint, device, half, compile, nms_iou_threshold: the Detector's. All machines of a cluster
            have to be able to read the checkpoint.
        score_threshold, batch_size: as in `Detector.__call__`.
        images_per_file: what is done again when an actor dies in the middle of it.
        threads: of each process, to read images while the network runs.
        engine: "local", this process, or "ray" (extra `ray`).
        actors: of the engine "ray".
        overwrite: do again what is there.
        quiet: no progress bar.

    Returns:
        What was done. Images that could not be read are in `out/_errors`.

    Raises:
        InputError: bad arguments, before anything is written; a folder that is another run's; a place that
            cannot be reached.
    """
    require_packages(engine)
    if actors is not None and engine != "ray":
        raise InputError(f"actors are of the engine ray; this is {engine}")
    check_prediction(score_threshold, batch_size)
    check_nms(nms_iou_threshold)
    check_count("images_per_file", images_per_file)
    check_count("threads", threads)
    actors = actors or Actors()
    if actors.count is not None:
        check_count("actors", actors.count)
    check_above_zero("cpus of an actor", actors.cpus)
    spec = DetectorSpec(model, checkpoint, device, half, compile, nms_iou_threshold).located()
    images = list_images([sources] if isinstance(sources, str) else sources)
    # Its weights decide what is found; where actors do the work, no GPU is needed here.
    detector = spec.build("cpu" if engine == "ray" else None)
    settings: dict[str, Any] = {**spec.settings(detector), "score_threshold": score_threshold}
    folder = RunFolder(absolute(out), images, settings, images_per_file, overwrite)
    arguments: dict[str, Any] = {
        "out": folder.out,
        "score_threshold": score_threshold,
        "batch_size": batch_size,
        "threads": threads,
    }
    report = DatasetReport(folder.out, folder.total, folder.skipped)
    if not folder.parts:
        return report
    reports: Generator[PartReport, None, None]
    if engine == "ray":
        reports = run_parts(folder.parts, spec, spec.settings(detector), actors, arguments)
    else:
        reports = (PartPredictor(detector, **arguments)(part) for part in folder.parts)
    with _progress(quiet) as progress, closing(reports):
        task = progress.add_task("images", total=folder.total, completed=folder.skipped)
        for part in reports:
            report.add(part)
            progress.advance(task, part.done + part.failed)
    return report


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet)
