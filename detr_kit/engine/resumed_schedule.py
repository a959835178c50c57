"""Learning rate schedules of a run that goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError

_PROGRESS = {"last_step", "_global_step", "_last_value", "base_values", "verbose"}


def resume_schedules(
    schedulers: Sequence[Any], saved: Sequence[Mapping[str, Any]], iteration_of: Mapping[int, int]
) -> list[str]:
    """Give schedules the place that they had; what they do from there is the config's.

    mmengine takes the checkpoint's whole state, also milestones and ends, so that a config with more epochs
    would keep the end of the old ones.

    Args:
        schedulers: those of the config; saved: their states in the checkpoint.
        iteration_of: the iteration that a schedule is at, for those that stand for epochs and count
            iterations (`convert_to_iter_based`) where the number of iterations of an epoch has changed.

    Returns:
        What the config has other than the checkpoint, a line a schedule.

    Raises:
        InputError: schedules of another kind; the learning rate would jump.
    """
    if [set(state) for state in saved] != [set(scheduler.state_dict()) for scheduler in schedulers]:
        raise InputError(
            f"param_scheduler: the checkpoint has {len(saved)} schedule(s) and the config {len(schedulers)}, "
            "or they are of other kinds (--warmup adds one): resume with the schedule that the run began "
            "with, or set load_from to start anew from its weights"
        )
    changed = []
    for index, (scheduler, state) in enumerate(zip(schedulers, saved, strict=True)):
        own = scheduler.state_dict()
        other = {key: own[key] for key in own if key not in _PROGRESS and own[key] != state[key]}
        if other:
            now = ", ".join(f"{key}={_text(value)} (was {_text(state[key])})" for key, value in other.items())
            changed.append(f"{type(scheduler).__name__} {now}")
        scheduler.load_state_dict({key: state[key] for key in _PROGRESS if key in state})
        if index in iteration_of:
            _move_to(scheduler, iteration_of[index])
    return changed


def _move_to(scheduler: Any, iteration: int) -> None:
    """To where so many steps would have brought it."""
    scheduler._global_step = iteration
    scheduler.last_step = min(iteration, scheduler.end - 1) - scheduler.begin
    scheduler.last_step = max(scheduler.last_step, -1)


def _text(value: Any) -> str:
    """Milestones are kept as a count of each."""
    return str(sorted(value)) if isinstance(value, Mapping) else str(value)
