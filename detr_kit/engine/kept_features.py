"""The features that a run began with, kept for those who go on with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ..errors import InputError
from ..features import Features
from .atomic_file import whole_file
from .features import FEATURES_FILE
from .hooks.checkpoint import last_checkpoint


def features_of_run(folder: str | Path) -> Features:
    """What the run whose checkpoints lie in `folder` was given; none where it does not say.

    Raises:
        InputError: the file is damaged, or of a version with other features.
    """
    file = Path(folder) / FEATURES_FILE
    if not file.is_file():
        return Features()
    try:
        return Features(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{file}: these are no features of a run ({error}); remove the file and give the features anew"
        ) from error


class KeptFeaturesHook(Hook):
    """Writes the features of a run beside its checkpoints, once it runs.

    A command that is refused leaves nothing behind. Where checkpoints of an earlier run lie, its features
    stay with them until this run saves its first.
    """

    priority = "LOWEST"

    def __init__(self, features: Features) -> None:
        self._features, self._is_written = features, False

    def before_train(self, runner: Any) -> None:
        """After all checks."""
        if runner._resume or last_checkpoint(runner.work_dir) is None:
            self._write(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """After the earlier run's files were set aside."""
        self._write(runner)

    def _write(self, runner: Any) -> None:
        if not self._is_written and is_main_process():
            with whole_file(Path(runner.work_dir) / FEATURES_FILE) as partial:
                partial.write_text(json.dumps(asdict(self._features)), encoding="utf-8")
        self._is_written = True
