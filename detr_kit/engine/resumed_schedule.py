"""Learning rate schedules of a run that goes on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

_PROGRESS = {"last_step", "_global_step", "_last_value", "base_values", "verbose"}


@dataclass(frozen=True)
class Place:
    """Where a schedule goes on, beyond what its own state says.

    Attributes:
        ends_with_run: its `end` is the run's, which may have been moved.
        iteration: of the run, for a schedule that stands for epochs and counts iterations
            (`convert_to_iter_based`) where the number of iterations of an epoch has changed; else None.
    """

    ends_with_run: bool = True
    iteration: int | None = None


def resume_schedules(
    schedulers: Sequence[Any], saved: Sequence[Mapping[str, Any]], places: Sequence[Place]
) -> list[str]:
    """Give schedules the place that they had; what they do from there is the config's.

    mmengine takes the checkpoint's whole state, also milestones and ends, so that a run of more epochs would
    keep the end of the old ones.

    Args:
        schedulers: those of the config; saved: their states in the checkpoint; places: of each.

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
    for scheduler, state, place in zip(schedulers, saved, places, strict=True):
        own = scheduler.state_dict()
        settings = {key: value for key, value in own.items() if key not in _PROGRESS}
        other = {key: value for key, value in settings.items() if value != state[key]}
        if other:
            now = ", ".join(f"{key}={_text(value)} (was {_text(state[key])})" for key, value in other.items())
            changed.append(f"{type(scheduler).__name__} {now}")
        scheduler.load_state_dict(state)
        if other and place.ends_with_run and state["_global_step"] == state["end"]:
            _step_beyond_the_end(scheduler)
        scheduler.load_state_dict(settings)
        if place.iteration is not None:
            _move_to(scheduler, place.iteration)
    return changed


def _step_beyond_the_end(scheduler: Any) -> None:
    """The step that a schedule did not take because the run was over; now the run goes on."""
    scheduler._global_step -= 1
    scheduler.end += 1
    with warnings.catch_warnings():  # of steps of the optimiser that this process has not made yet
        warnings.simplefilter("ignore")
        scheduler.step()


def _move_to(scheduler: Any, iteration: int) -> None:
    """To where so many steps would have brought it."""
    scheduler._global_step = iteration
    scheduler.last_step = max(min(iteration, scheduler.end - 1) - scheduler.begin, -1)


def _text(value: Any) -> str:
    """Milestones are kept as a count of each."""
    return str(sorted(value)) if isinstance(value, Mapping) else str(value)
