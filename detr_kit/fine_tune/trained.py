"""Training as one call, for scripts and notebooks: a data set in, a Detector and its figures out."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.hooks import Hook

from ..engine.hooks.callbacks import Callback, CallbackHook
from ..engine.hooks.checkpoint import last_checkpoint
from ..engine.hooks.named_checkpoints import BEST
from ..engine.hooks.progress_bar import ProgressBarHook
from ..engine.hooks.results import rows_of
from ..errors import InputError
from ..features import Features
from ..inference import Detector
from .run import fine_tune, write_fine_tune_config

_FEATURES = [field.name for field in fields(Features)]
_SET_HERE = ("options", "launcher", "accumulate", "fetch", "show")
_ARGUMENTS = [name for name in inspect.signature(write_fine_tune_config).parameters if name not in _SET_HERE]


class Trained(NamedTuple):
    """What training gives.

    Attributes:
        detector: of the best checkpoint by AP on the validation split, or without validation of the last.
        figures: of that checkpoint on the validation split: AP, AP50, …, as fractions; {} without.
    """

    detector: Detector
    figures: dict[str, float]

    @property
    def folder(self) -> Path:
        """The work directory: config.py, results.csv, curves.png, checkpoints, the log."""
        return Path(self.detector.checkpoint).parent


def train(
    data: str | Path,
    model: str | None = None,
    *,
    epochs: int | None = None,
    batch_size: int | str | None = None,
    image_size: int | str | None = None,
    lr: float | None = None,
    checkpoint: str | Path | None = None,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    **settings: Any,
) -> Trained:
    """Train a detector on a data set: `detr-kit train --data` as a function.

        detector, figures = detr_kit.train("DATA", model="deformable_detr_r50", epochs=12)

    Args:
        data: a folder of COCO, Pascal VOC, YOLO or CVAT files.
        model: a config's name or path; by default that of the checkpoint, or a default one.
        epochs, batch_size, image_size, lr: by default as many pictures as there are decide; the two sizes may
            be "auto".
        checkpoint: weights to start from; by default the model's published ones.
        work_dir: where the run writes; `work_dirs/MODEL_SET` by default.
        resume: go on with the newest run on this data set.
        callbacks: plain functions that are called with each epoch's figures; see `Callback`.
        progress: a bar in the place of log lines; by default in notebooks.
        options: dotted keys of the config and their values, as `--cfg-options`.
        launcher: "pytorch" under torchrun.
        settings: every further switch of the command, with underscores: `amp="bf16"`, `ema=True`, `seed=1`,
            `from_scratch=True`, `preset="small"`, …; see `Features` and `write_fine_tune_config`.

    Raises:
        InputError: as `fine_tune`, before anything is trained; or a setting that there is not.
    """
    _check_names(settings)
    if progress is None:
        progress = "ipykernel" in sys.modules
    hooks: list[Hook] = [CallbackHook(callbacks)] if callbacks else []
    runner = fine_tune(
        data=data,
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        lr=lr,
        checkpoint=checkpoint,
        work_dir=work_dir,
        resume=resume,
        options=options,
        launcher=launcher,
        features=Features(**{name: value for name, value in settings.items() if name in _FEATURES}),
        hooks=[*hooks, ProgressBarHook()] if progress else hooks,
        show=not progress,
        **{name: value for name, value in settings.items() if name not in _FEATURES},
    )
    folder = Path(runner.work_dir)
    best = folder / BEST
    return Trained(
        Detector(checkpoint=best if best.exists() else last_checkpoint(folder) or best), _figures(runner)
    )


def _check_names(settings: Mapping[str, Any]) -> None:
    known = [*_ARGUMENTS, *_FEATURES]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise InputError(f"train: there is no setting {name!r}; {hint}")


def _figures(runner: Any) -> dict[str, float]:
    """COCO's figures of the epoch with the best AP."""
    rows = [row for row in rows_of(runner) if row.get("AP", -1) >= 0]
    best = max(rows, key=lambda row: row["AP"], default={})
    return {name: value for name, value in best.items() if name.startswith(("AP", "AR"))}
