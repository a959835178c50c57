"""Fine-tuning on a folder of files: the config is written for it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..checkpoints import CheckpointFile, checkpoint_path, read_checkpoint
from ..checkpoints.location import BUILTIN, existing_checkpoint, is_elsewhere
from ..data.formats import DataSource, find_data
from ..engine.features import EMA_HOOK
from ..engine.prepare import prepare_config
from ..engine.run import train
from ..errors import InputError
from ..evaluation import detections_for
from ..features import Features
from ..first_process import is_first_process
from ..number_ranges import check_above_zero
from ..weights import NotHere, fetch_weights, weights_of_model
from .base import Base, base_of, is_square, size_of_test_alone
from .config import FineTuning, config_text
from .data import class_names_of, converted, identity, most_objects, parts_of
from .preset import choose_preset
from .resume import config_to_resume
from .run_folder import CONFIG, first_folder, folder_to_resume, folder_to_write, put_aside
from .written_config import write_whole


@dataclass(frozen=True)
class _Plan:
    """Everything that is known of a run before a file of it is written."""

    settings: FineTuning
    annotations: dict[Path, dict[str, Any]]


def fine_tune(
    *,
    resume: bool | str | Path = False,
    features: Features | None = None,
    auto_scale_lr: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    hooks: Sequence[Hook] = (),
    show: bool = True,
    **arguments: Any,
) -> Runner:
    """Train on a data set with a config that is written for it.

    Args:
        resume: go on with the newest run on this data set, as it began; `epochs` may be raised.
        features, auto_scale_lr, options, launcher, hooks: of `train`.
        show: print the config.
        arguments: of `write_fine_tune_config`.

    Raises:
        InputError: as both; or resuming with arguments that the run did not begin with.
    """
    features = features or Features()
    features.check()
    config = _config_of_run(**arguments) if resume else None
    if config is None:
        config = write_fine_tune_config(
            **arguments,
            options=options,
            launcher=launcher,
            accumulate=features.accumulate or 1,
            fetch=True,
            show=show,
        )
    return train(
        config,
        resume=resume,
        features=features,
        auto_scale_lr=auto_scale_lr,
        options=options,
        launcher=launcher,
        hooks=hooks,
    )


def _config_of_run(
    data: str | Path,
    model: str | None = None,
    *,
    work_dir: str | Path | None = None,
    name: str | None = None,
    images: str | Path | None = None,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> Path | None:
    """The config of the run that is resumed; None where there is none yet."""
    source = find_data(data, images)
    base_name = model or ("" if name or work_dir else base_of(None, checkpoint, _read(checkpoint)).name)
    first = first_folder(source.path, base_name, name, work_dir)
    folder = folder_to_resume(first, work_dir is not None, identity(source))
    if folder is None:
        return None
    parts, _ = parts_of(source)
    given = _given(model=model, images=images, checkpoint=checkpoint, **options)
    return config_to_resume(folder / CONFIG, identity(source), given, converted(parts))


def write_fine_tune_config(
    data: str | Path,
    model: str | None = None,
    *,
    work_dir: str | Path | None = None,
    name: str | None = None,
    images: str | Path | None = None,
    checkpoint: str | Path | None = None,
    from_scratch: bool = False,
    epochs: int | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    lr: float | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    accumulate: int = 1,
    fetch: bool = False,
    show: bool = True,
) -> Path:
    """Write a config for a data set into the work directory.

    Args:
        data: COCO, Pascal VOC or YOLO files, as `find_data` takes them; images: the folder of the pictures,
            where it is not beside the annotations.
        model: the config to start from, by name or path; by default that of the checkpoint, or without one
            `deformable_detr_r50_two_stage`.
        work_dir: `work_dirs/NAME` by default; name: MODEL_SET by default. Where another set or an earlier run
            with other settings has it, NAME_2, NAME_3, ….
        checkpoint: weights to start from, of any known format; by default those that are published for the
            model, where it is one that has some.
        from_scratch: start without them, with the model's backbone.
        epochs, batch_size, lr: instead of the preset's or the model's.
        preset: "small" or "recipe"; by default as many training pictures as there are decide.
        image_size: the short side in pixels at which the network sees the pictures; the model's otherwise.
        options, launcher, accumulate: with which the run is to be started: its overrides are looked at before
            anything is written, and its steps are those of all processes and accumulated batches.
        fetch: published weights have to be here before anything is written.
        show: print it.

    Returns:
        The config's path, `WORK_DIR/config.py`; annotations that had to be converted are in `WORK_DIR/data`.

    Raises:
        InputError: as `find_data`; the splits do not fit together; or a config that may have been edited is
            in the way. Nothing has been written then.
    """
    numbers = dict(epochs=epochs, batch_size=batch_size, image_size=image_size, lr=lr)
    for key, value in numbers.items():
        check_above_zero(f"--{key.replace('_', '-')}", value)
    if from_scratch and checkpoint is not None:
        raise InputError(f"--from-scratch and --checkpoint {checkpoint}: give one of them")
    base = base_of(model, checkpoint, _read(checkpoint))
    source = find_data(data, images)
    first = first_folder(source.path, base.name, name, work_dir)
    given = _given(
        model=model, images=images, checkpoint=checkpoint, from_scratch=from_scratch, **numbers, preset=preset
    )
    strict = (options or {}).get("data_check") == "strict"
    published = weights_of_model(base.name) if checkpoint is None and not from_scratch else None
    start = checkpoint or published
    plan = _plan(source, base, given, start, _num_processes(launcher), accumulate, strict)

    def text_in(folder: Path) -> str:
        return config_text(plan.settings, folder)

    folder, former = folder_to_write(first, work_dir is not None, plan.settings.data, text_in)
    _refuse_what_training_would(text_in(folder), options, launcher)
    if fetch and published is not None:
        _fetch(published)
    try:
        aside = None if former is None else put_aside(folder, former)
        _write(folder, text_in(folder), plan.annotations, aside, show)
    except OSError as error:
        raise InputError(f"{folder}: it cannot be written: {error.strerror or error}") from error
    if folder != first and is_first_process():
        print(f"{first} holds another run or another set: this run is in {folder}", flush=True)
    return folder / CONFIG


def _plan(
    source: DataSource,
    base: Base,
    given: Mapping[str, Any],
    checkpoint: str | Path | None,
    num_processes: int,
    accumulate: int,
    strict: bool,
) -> _Plan:
    """What the data, the model and the preset make of what was given."""
    parts, told = parts_of(source, max_left_out=0.0) if strict else parts_of(source)
    num_images = len(parts["train"].data["images"])
    chosen = choose_preset(given.get("preset"), num_images)
    told.append(f"{num_images} pictures to train on: preset {chosen.name}")
    batch_size = given.get("batch_size") or chosen.batch_size or base.config.train_dataloader.batch_size
    batch_size = min(batch_size, num_images)
    per_step = batch_size * num_processes * accumulate
    if per_step != batch_size:
        told.append(
            f"{per_step} pictures a step: {num_processes} process(es), {accumulate} batch(es) of {batch_size}"
        )
    epochs = given.get("epochs") or chosen.epochs(num_images, per_step)
    most = {name: most_objects(part) for name, part in parts.items()}
    settings = FineTuning(
        data=identity(source),
        options=given,
        told=told,
        base=base.path,
        network=base.network,
        images={name: part.images for name, part in parts.items()},
        annotations={name: part.annotations for name, part in parts.items()},
        class_names=class_names_of(parts, source),
        num_queries=_num_queries(most["train"], base),
        most_objects=most["train"],
        steps=epochs * max(num_images // per_step, 1),
        accumulate=accumulate,
        checkpoint=_checkpoint(checkpoint),
        epochs=epochs,
        batch_size=batch_size,
        image_size=given.get("image_size") or base.image_size or size_of_test_alone(base.config),
        is_square=is_square(base.config),
        lr=given.get("lr") or chosen.lr(float(base.config.optim_wrapper.optimizer.lr)),
        # Weights that were trained with dropout go on with it.
        dropout={} if checkpoint is not None else _dropout(chosen.dropout, base),
        nms_iou_threshold=chosen.nms_iou_threshold,
        max_detections=_max_detections(max(most.values()), base.config),
        hooks=_with_ema(base.config) if chosen.ema else None,
    )
    if settings.max_detections is not None:
        told.append(
            f"a picture has up to {max(most.values())} objects: {settings.num_queries} queries, up to "
            f"{settings.max_detections} detections"
        )
    return _Plan(settings, converted(parts))


def _dropout(value: float | None, base: Base) -> dict[str, float]:
    """The preset's, for every part of the network that has one."""
    network = base.network or base.config.model.network.to_dict()
    parts = {name: part for name, part in network.items() if isinstance(part, Mapping) and "dropout" in part}
    return {} if value is None else dict.fromkeys(parts, value)


def _fetch(published: str) -> None:
    """Before there is a folder: the weights that a run starts from when nothing else is said."""
    try:
        fetch_weights(published)
    except NotHere as error:
        raise NotHere(
            f"{error}. Or train with --from-scratch, or from other weights with --checkpoint FILE"
        ) from error


def _num_processes(launcher: str) -> int:
    """Processes that each take a batch of their own in a step."""
    names = {"pytorch": "WORLD_SIZE", "slurm": "SLURM_NTASKS"}
    return max(int(os.environ.get(names.get(launcher, ""), 1)), 1)


def _refuse_what_training_would(text: str, options: Mapping[str, Any] | None, launcher: str) -> None:
    """Before there is a folder: overrides that reach nothing, parts that do not fit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CONFIG)
        path.write_text(text, encoding="utf-8")
        try:
            prepare_config(path, options=options, launcher=launcher)
        except InputError as error:
            raise InputError(str(error).replace(str(path), f"for {CONFIG}")) from error


def _write(folder: Path, text: str, annotations: Mapping[Path, Any], former: Path | None, show: bool) -> None:
    for path, data in annotations.items():
        write_whole(folder / path, json.dumps(data))
    write_whole(folder / CONFIG, text)
    if is_first_process():
        if former is not None:
            print(f"the config of the earlier run in {folder} is {former.name} now", flush=True)
        if show:
            print(f"{folder / CONFIG}:\n\n{text}", flush=True)


def _read(checkpoint: str | Path | None) -> CheckpointFile | None:
    if checkpoint is None:
        return None
    existing_checkpoint(checkpoint, "--checkpoint")
    return read_checkpoint(checkpoint)


def _checkpoint(checkpoint: str | Path | None) -> Path | str | None:
    """As a config names it: published weights by name, so that it runs on other machines too."""
    if checkpoint is None or str(checkpoint) == BUILTIN or is_elsewhere(checkpoint):
        return checkpoint
    return checkpoint_path(checkpoint).absolute()


def _given(**options: Any) -> dict[str, Any]:
    """The options of a command as plain data; files by their whole path, so that they can be told apart."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    for name in ("model", "images", "checkpoint"):
        path = Path(str(given.get(name, ""))).expanduser()
        if name in given:
            given[name] = str(path.absolute() if path.exists() else given[name])
    return given


def _num_queries(most: int, base: Base) -> int:
    """The model's, or enough for the fullest picture with some to spare."""
    own = base.num_queries
    return own if most <= own else -(-3 * most // 20) * 10


def _max_detections(most: int, base: Config) -> int | None:
    """Enough for the fullest picture, where the model's are not; None for the model's."""
    own, wanted = base.model.postprocessor.get("max_detections"), detections_for(most)
    return None if own is None or wanted <= own else wanted


def _with_ema(base: Config) -> list[dict[str, Any]]:
    """The base's hooks and the moving average."""
    own = [dict(hook) for hook in base.get("custom_hooks") or []]
    return own if any(hook["type"] == EMA_HOOK["type"] for hook in own) else [*own, EMA_HOOK]
