"""Checkpoints such that at every moment a whole one is there, whatever happens to the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook

from ...errors import InputError
from ...registry import HOOKS
from ..atomic_file import remove_partial_files, whole_file
from ..earlier_run import claim_work_dir
from ..features import FEATURES_FILE
from .named_checkpoints import BEST, LAST, name_checkpoint

PREEMPTED = "preempted.pth"
_MARKER = "last_checkpoint"
WITH_CHECKPOINTS = (_MARKER, FEATURES_FILE)  # files that tell of a run's checkpoints


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's, which removes the old file before it writes the new one, the other way round.

    Args:
        kwargs: of mmengine's hook: interval, by_epoch, max_keep_ckpts, save_best, ….
    """

    keep_ckpt_ids: deque[int]

    def before_train(self, runner: Any) -> None:
        """Clear away what a killed process left half written."""
        super().before_train(runner)
        if is_main_process():
            remove_partial_files(self.out_dir)
        accumulated = runner.optim_wrapper.accumulative_counts
        # A step is counted anew in every epoch, so its length has to divide too.
        length = len(runner.train_dataloader)
        if not self.by_epoch and (self.interval % accumulated or length % accumulated):
            raise InputError(
                f"default_hooks.checkpoint.interval={self.interval}: it and the {length} batches of an epoch "
                f"must be multiples of optim_wrapper.accumulative_counts={accumulated}; gradients half "
                "collected are not saved. Save by epoch, or change one of the three"
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """An earlier run's make room."""
        claim_work_dir(runner, *WITH_CHECKPOINTS)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        """The new checkpoint, then the marker, and only then the old ones go."""
        outdated: list[int] = []
        if self.max_keep_ckpts > 0:
            # mmengine's deque has a largest length: what is appended to a full one drops its first id unseen.
            kept = [*(old for old in self.keep_ckpt_ids if old != step), step]
            outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info("keep_ckpt_ids", kept)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
        )
        if is_main_process():
            mark_last_checkpoint(runner.work_dir, self.last_ckpt)
            for path in [*(self.filename_tmpl.format(old) for old in outdated), PREEMPTED]:
                (Path(self.out_dir) / path).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Any, metrics: Mapping[str, float]) -> None:
        """The former best file goes when the new one and the checkpoint that names it are written."""
        former = getattr(self, "best_ckpt_path", None)
        self.best_ckpt_path = None
        super()._save_best_checkpoint(runner, metrics)
        if self.best_ckpt_path is None:
            self.best_ckpt_path = former
        elif is_main_process():
            name_checkpoint(self.best_ckpt_path, BEST)
            if former not in (None, self.best_ckpt_path):
                Path(former).unlink(missing_ok=True)


def mark_last_checkpoint(work_dir: str | Path, path: str | Path) -> None:
    """Note which checkpoint `--resume` goes on from, and let `last.pth` stand for it."""
    with whole_file(Path(work_dir) / _MARKER) as partial:
        partial.write_text(str(path), encoding="utf-8")
    name_checkpoint(path, LAST)


def last_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint that a run goes on from: the marked one, else the newest; None where there is none.

    A work directory that was moved or copied is fine.
    """
    folder = Path(work_dir)
    marker = folder / _MARKER
    if marker.is_file():
        marked = Path(marker.read_text(encoding="utf-8").strip())
        for path in (folder / marked.name, marked):
            if path.is_file():
                return str(path)
    written = [*folder.glob("epoch_*.pth"), *folder.glob("iter_*.pth"), *folder.glob(PREEMPTED)]
    return str(max(written, key=lambda path: path.stat().st_mtime)) if written else None
