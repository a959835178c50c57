"""Training and testing a config: what `tools/train.py` and `tools/test.py` do."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop, Runner

from ..categories import Categories
from ..checkpoints import load_state, read_checkpoint
from ..errors import InputError
from ..features import Features
from ..given_paths import check_resumed
from ..registry import RUNNERS, without_pretrained
from .class_matching import match_classes
from .features import apply_features
from .hooks.checkpoint import last_checkpoint
from .kept_features import KeptFeaturesHook, features_of_run
from .prepare import check_paths, prepare_config
from .process_group import process_group
from .steady_batches import end_workers
from .trainable_detector import unwrap

_RUNS = itertools.count(1)  # of this process


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    features: Features | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    auto_scale_lr: bool = False,
    hooks: Sequence[Hook] = (),
) -> Runner:
    """Train a config, validating as it says.

    Args:
        config, work_dir, options, launcher: as in `prepare_config`.
        resume: True for the newest checkpoint of the work directory, or a training checkpoint's path.
        features: what to switch on beyond the config: mixed precision, EMA, ….
        auto_scale_lr: scale the learning rate from the recipe's batch size to the real one.
        hooks: beside those of the config.

    Returns:
        The runner, when training is over.

    Raises:
        InputError: bad config, data or checkpoint.
    """
    config = prepare_config(config, work_dir=work_dir, options=options, launcher=launcher)
    checkpoint = _checkpoint_to_resume(config, resume)
    features = features or Features()
    if resume:
        run = config.work_dir if checkpoint is None else Path(checkpoint).parent
        features = features.over(features_of_run(run))
    apply_features(features, config)
    if auto_scale_lr:
        if "base_batch_size" not in (config.get("auto_scale_lr") or {}):
            raise InputError(
                f"--auto-scale-lr: config {config.filename} does not say for which batch size its learning "
                "rate is; add auto_scale_lr = dict(enable=False, base_batch_size=N)"
            )
        config.auto_scale_lr.enable = True
    config.resume = checkpoint is not None
    if checkpoint is not None:
        config.load_from = checkpoint
    check_paths(config, "train", "val")
    if config.get("load_from"):
        without_pretrained(config.model.network)  # the checkpoint has the weights
    with _running(config) as runner:
        for hook in (KeptFeaturesHook(features), *hooks):
            runner.register_hook(hook)
        if resume and checkpoint is None:
            runner.logger.info(
                f"--resume: no checkpoint in {config.work_dir} yet, the run starts from the beginning"
            )
        runner.train()
    return runner


def _checkpoint_to_resume(config: Config, resume: bool | str | Path) -> str | None:
    """The newest checkpoint of the work directory, or the given one; None to start from the beginning."""
    if not resume:
        return None
    if resume is True:
        return last_checkpoint(config.work_dir)
    check_resumed(resume)
    return str(resume)


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    pictures: str | Path | None = None,
    metric_backend: str | None = None,
    work_dir: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> dict[str, float]:
    """Evaluate a checkpoint on the config's test set.

    Args:
        checkpoint: of any known format.
        out: where to write the detections as COCO JSON.
        pictures: folder for the confusion matrix and the worst images.
        metric_backend: who computes the figures, as `CocoMetric` takes it; None as the config says.
        config, work_dir, options, launcher: as in `prepare_config`.

    Returns:
        The COCO figures that could be measured, as coco/AP, coco/AP50, ….

    Raises:
        InputError: bad config, data or checkpoint, or one that does not fit the config.
    """
    config = prepare_config(config, work_dir=work_dir, options=options, launcher=launcher)
    without_pretrained(config.model.network)
    config.load_from, config.resume, config.fsdp = None, False, False
    check_paths(config, "test")
    if out is not None:
        config.test_evaluator.outfile = str(out)
    if pictures is not None:
        config.test_evaluator.pictures = str(pictures)
    if metric_backend is not None:
        config.test_evaluator.metric_backend = metric_backend
    with _running(config) as runner:
        file = read_checkpoint(checkpoint)
        report = load_state(unwrap(runner.model).network, file, str(checkpoint), strict=True)
        runner.logger.info(f"\n{report}")
        match_classes(runner.test_loop, Categories.from_metadata(file.metadata), f"checkpoint {checkpoint}")
        return runner.test()


@contextmanager
def _running(config: Config) -> Iterator[Runner]:
    """A runner; the group of processes that it needs and those that load data end on every way out."""
    with process_group(config.launcher, config.env_cfg.dist_cfg.get("timeout")):
        runner = _build_runner(config)
        try:
            yield runner
        finally:
            runner.model = unwrap(runner.model)  # the wrapper holds the group
            for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
                if isinstance(loop, BaseLoop):  # one that ran
                    end_workers(loop.dataloader)


def _build_runner(config: Config) -> Runner:
    # mmengine keeps the scope and logger of the first run of a process; a second run starts its own. It tells
    # loggers apart by name and second, and two runs may begin within one.
    init_default_scope("detr_kit")
    name, number = config.get("experiment_name") or Path(config.work_dir).name, next(_RUNS)
    config.experiment_name = f"{name}_{number}" if number > 1 else name
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    # mmengine would lay the whole config out again for every checkpoint, which takes longer than its weights.
    config = Config(config.to_dict(), filename=config.filename, format_python_code=False)
    try:
        return RUNNERS.get(config.get("runner_type", "DetectionRunner")).from_cfg(config)
    except InputError:
        raise
    except (ValueError, TypeError) as error:  # mmengine's own words for settings that contradict each other
        raise InputError(f"config {config.filename}: {error}") from error
