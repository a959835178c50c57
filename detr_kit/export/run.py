"""Export and verify in one go: what `detr-kit export` does."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.location import existing_checkpoint
from ..config import find_config
from ..errors import InputError
from ..number_ranges import check_count, check_share
from .options import ExportOptions, check_export_path

if TYPE_CHECKING:
    from .verify import Verification


def export_and_verify(
    model: str | Path | None,
    checkpoint: str | Path,
    path: str | Path,
    options: ExportOptions,
    *,
    calibration: str | Path | None = None,
    calibration_limit: int = 100,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    limits: Mapping[str, float | None] | None = None,
    report: str | Path | None = None,
) -> Verification:
    """Export a checkpoint, then set the file against the network.

    Args:
        model, checkpoint: see Detector.
        path, options: see export_detector.
        calibration: folder or pattern of images for INT8; calibration_limit of them, evenly spread, are used.
        annotations, images: COCO set to verify on; images alone is a folder without annotations; without
            both, drawn pictures serve.
        limit: images to verify on.
        limits: overrides of LIMITS by field; None stands for no override.
        report: a JSON file to write the figures to.

    Raises:
        InputError: anything that cannot be read or does not go together, before the export begins.
    """
    if options.int8 and not calibration:
        raise InputError("int8 needs calibration images: --calibration DIR, some hundred like those to come")
    if annotations and not images:
        raise InputError(f"--verify {annotations} needs --images DIR, the folder of its images")
    check_count("--calibration-limit", calibration_limit)
    if limit is not None:
        check_count("--limit", limit)
    changed = {name: value for name, value in (limits or {}).items() if value is not None}
    for name, value in changed.items():
        check_share(f"largest drift: {name}" if name != "mean_iou" else "--min-iou", value)
    if report and not Path(report).absolute().parent.is_dir():
        raise InputError(f"--report {report}: there is no folder {Path(report).parent}")
    if annotations and not Path(annotations).is_file():
        raise InputError(f"annotations {annotations}: no such file")
    if images and not Path(images).is_dir():
        raise InputError(f"{images}: no folder with images in it")
    if model is not None:
        find_config(model)
    existing_checkpoint(checkpoint)
    check_export_path(Path(path).expanduser(), options)

    from ..inference import Detector  # what is slow to import comes after all that can be wrong without it
    from .export import export_detector
    from .verification_set import VerificationSet, builtin_set
    from .verify import LIMITS, verify_export

    with ExitStack() as stack:
        if annotations and images:
            chosen = VerificationSet.from_coco(annotations, images, limit)
        elif images:
            chosen = VerificationSet.from_folder(images, limit)
        else:
            chosen = stack.enter_context(builtin_set())
        pictures = _calibration_images(calibration, calibration_limit) if options.int8 and calibration else []
        detector = Detector(model, checkpoint, device="cpu")
        with warnings.catch_warnings():
            # The exporters speak of their own internals; what matters comes as an error.
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            export_detector(detector, path, options, pictures)
        found = verify_export(
            detector, path, chosen, dataclasses.replace(LIMITS[options.precision], **changed)
        )
    if report:
        Path(report).write_text(json.dumps(found.to_dict(), indent=1), encoding="utf-8")
    return found


def _calibration_images(source: str | Path, limit: int) -> list[Path]:
    from ..sources import expand

    files = [Path(item) for item in expand(source)]
    step = max(len(files) // limit, 1)
    return files[::step][:limit]
