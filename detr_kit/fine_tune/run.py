"""Fine-tuning on a folder of files: the config is written for it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..checkpoints import CheckpointFile, read_checkpoint
from ..checkpoints.location import existing_checkpoint
from ..data.formats import find_data
from ..engine.prepare import prepare_config
from ..engine.run import train
from ..errors import InputError
from ..features import Features
from ..first_process import is_first_process
from ..number_ranges import check_above_zero
from ..weights import NotHere, fetch_weights, weights_of_model
from .base import base_of
from .config import config_text
from .data import converted, identity, parts_of
from .plan import AUTO, plan_of, with_fitting_batch
from .recipe import Recipe, choose_recipe
from .resume import config_to_resume
from .run_folder import CONFIG, first_folder, folder_to_resume, folder_to_write, put_aside
from .written_config import write_whole


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
    batch_size: int | str | None = None,
    image_size: int | str | None = None,
    lr: float | None = None,
    preset: str | None = None,
    recipe: str | Recipe | None = None,
    memory_gb: float | None = None,
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
        epochs, batch_size, lr: instead of the preset's or the model's. The batch "auto" is the largest part
            of the preset's or the recipe's that memory has room for; accumulated ones come to the whole.
        memory_gb: that "auto" may take; by default most of what is free.
        preset: "small" or "recipe"; by default as many training pictures as there are decide.
        recipe: how the run augments, schedules and averages, by its name; see `recipe.RECIPES`.
        image_size: the short side in pixels at which the network sees the pictures; the model's otherwise.
            "auto" follows from the size of the objects.
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
    numbers: dict[str, float | str | None] = dict(
        epochs=epochs, batch_size=batch_size, image_size=image_size, lr=lr, memory_gb=memory_gb
    )
    for key, value in numbers.items():
        option = f"--{key.replace('_', '-')}"
        if not isinstance(value, str):
            check_above_zero(option, value)
        elif value != AUTO:
            raise InputError(f"{option} {value}: it must be a number, or auto")
    if memory_gb is not None and batch_size != AUTO:
        raise InputError(f"--memory-gb {memory_gb} goes with --batch-size auto")
    if batch_size == AUTO and accumulate > 1:
        raise InputError(f"--batch-size auto and --accumulate {accumulate}: auto finds what to accumulate")
    if from_scratch and checkpoint is not None:
        raise InputError(f"--from-scratch and --checkpoint {checkpoint}: give one of them")
    how = choose_recipe(recipe)
    base = base_of(model, checkpoint, _read(checkpoint))
    source = find_data(data, images)
    first = first_folder(source.path, base.name, name, work_dir)
    choices = dict(preset=preset, recipe=recipe)
    given = _given(
        model=model, images=images, checkpoint=checkpoint, from_scratch=from_scratch, **numbers, **choices
    )
    strict = (options or {}).get("data_check") == "strict"
    published = weights_of_model(base.name) if checkpoint is None and not from_scratch else None
    start = checkpoint or published
    processes = _num_processes(launcher)
    plan = plan_of(source, base, given, start, how, processes, accumulate, strict)
    if batch_size == AUTO:
        plan = with_fitting_batch(plan, memory_gb, options)

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


def _given(**options: Any) -> dict[str, Any]:
    """The options of a command as plain data; files by their whole path, so that they can be told apart."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    for name in ("model", "images", "checkpoint"):
        path = Path(str(given.get(name, ""))).expanduser()
        if name in given:
            given[name] = str(path.absolute() if path.exists() else given[name])
    if isinstance(given.get("recipe"), Recipe):
        given["recipe"] = given["recipe"].name
    return given
