"""Going on from a training checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..categories import Categories
from ..errors import InputError
from .epoch_progress import EpochProgress
from .resumed_schedule import Place, resume_schedules
from .sharding import is_sharded, share_of_state
from .train_loop import EpochBasedTrainLoop

_START_ANEW = "to start anew from its weights set load_from instead"


def check_same_classes(metadata: Mapping[str, Any], dataset: Any, filename: str) -> None:
    """A run goes on with the classes that it began with; a checkpoint or a data set may not say them.

    Raises:
        InputError: other names, order or category ids, the first of them by name.
    """
    trained, now = Categories.from_metadata(metadata), getattr(dataset, "categories", None)
    if trained is None or now is None or trained == now:
        return
    was, has = (list(zip(c.names, c.ids, strict=True)) for c in (trained, now))
    label = next(
        (i for i, (a, b) in enumerate(zip(was, has, strict=False)) if a != b), min(len(was), len(has))
    )
    raise InputError(
        f"checkpoint {filename} was trained on other classes: label {label} was {_class(was, label)} and is "
        f"{_class(has, label)} in the train set now ({len(was)} classes then, {len(has)} now). Give the data "
        f"that the run began with; {_START_ANEW}"
    )


def _class(classes: list[tuple[str, int]], label: int) -> str:
    return f"{classes[label][0]!r} (id {classes[label][1]})" if label < len(classes) else "no class"


def data_of(dataset: Any) -> dict[str, int]:
    """What a checkpoint keeps of the size of the train set."""
    return {"num_images": len(dataset), "num_boxes": int(getattr(dataset, "num_objects", 0))}


def go_on(runner: Any, checkpoint: Mapping[str, Any], filename: str) -> None:
    """Everything but the weights: seed, place, log history, optimiser, schedules.

    Raises:
        InputError: the checkpoint has no state to go on from, or that of another optimiser or schedule.
    """
    meta = checkpoint["meta"]
    if "optimizer" not in checkpoint or "param_schedulers" not in checkpoint:
        raise InputError(
            f"checkpoint {filename}: it keeps weights without the state of the optimiser, as best_….pth do; "
            f"resume from epoch_….pth or iter_….pth; {_START_ANEW}"
        )
    _resume_seed(runner, meta.get("seed"))
    _warn_of_other_data(runner, meta.get("data"))
    runner.message_hub.load_state_dict(checkpoint["message_hub"])
    _forget_the_best_of_another_directory(runner)
    loop = runner.train_loop
    loop._epoch, loop._iter = meta["epoch"], meta["iter"]
    if isinstance(loop, EpochBasedTrainLoop):
        loop.go_on_from(EpochProgress.from_meta(meta))
    _resume_optimizer(runner, checkpoint["optimizer"], filename)
    _resume_schedules(runner, checkpoint["param_schedulers"], moved=loop._iter != meta["iter"])
    runner.logger.info(f"resumed epoch: {runner.epoch}, iter: {runner.iter}")


def _resume_seed(runner: Any, seed: int | None) -> None:
    wanted = runner._randomness_cfg.get("seed")
    if seed is None or seed == wanted:
        return
    if wanted is not None:
        runner.logger.warning(f"resumed with the checkpoint's seed {seed}; the config's {wanted} is not used")
    runner._randomness_cfg.update(seed=seed)
    runner.set_randomness(**runner._randomness_cfg)


def _warn_of_other_data(runner: Any, saved: Mapping[str, int] | None) -> None:
    now = data_of(runner.train_dataloader.dataset)
    if saved is not None and dict(saved) != now:
        runner.logger.warning(
            f"the train set had {saved['num_images']} images with {saved['num_boxes']} boxes when the "
            f"checkpoint was written, and has {now['num_images']} with {now['num_boxes']} now: the run goes "
            "on with these"
        )


def _forget_the_best_of_another_directory(runner: Any) -> None:
    """What another run kept as its best is left alone."""
    info = runner.message_hub.runtime_info
    best = info.get("best_ckpt")
    if best is not None and Path(best).resolve().parent != Path(runner.work_dir).resolve():
        for key in ("best_ckpt", "best_score"):
            info.pop(key, None)


def _resume_optimizer(runner: Any, state: dict[str, Any], filename: str) -> None:
    """The checkpoint's settings hold, and where the config has others that is said."""
    wanted = [_settings(group) for group in runner.optim_wrapper.param_groups]
    try:
        if is_sharded(runner.model):
            state = share_of_state(runner.optim_wrapper.optimizer, state)
        runner.optim_wrapper.load_state_dict(state)
    except ValueError as error:
        raise InputError(
            f"checkpoint {filename}: its optimiser trained other parameters than this config's ({error}); "
            f"resume with the same frozen_stages (--freeze-backbone) and paramwise_cfg; {_START_ANEW}"
        ) from error
    resumed = [_settings(group) for group in runner.optim_wrapper.param_groups]
    for name, what in (("lr", "learning rate"), ("weight_decay", "weight decay")):
        pairs = [(new[name], old[name]) for new, old in zip(wanted, resumed, strict=True)]
        other = next(((new, old) for new, old in pairs if abs(new - old) > 1e-9), None)
        if other is not None:
            runner.logger.warning(
                f"resumed with the checkpoint's {what} {other[1]}; the config's {other[0]} is not used. "
                "To start anew from these weights set load_from instead"
            )


def _settings(group: Mapping[str, Any]) -> dict[str, float]:
    return {"lr": group.get("initial_lr", group["lr"]), "weight_decay": group.get("weight_decay", 0.0)}


def _resume_schedules(runner: Any, saved: list[dict[str, Any]], moved: bool) -> None:
    if runner.param_schedulers is None:
        return
    config = runner.cfg.get("param_scheduler") or []
    iteration = runner.train_loop._iter if moved else None
    places = [
        Place("end" not in s, iteration if s.get("convert_to_iter_based") else None)
        for s in (config if isinstance(config, list) else [config])
    ]
    changed = resume_schedules(runner.param_schedulers, saved, places)
    if changed:
        runner.logger.warning(
            f"the learning rate goes on from the checkpoint's, by the config's schedule: {'; '.join(changed)}"
        )
