"""Says where a learning rate schedule does not fit the length of the run."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from ...errors import InputError


class ScheduleCheckHook(Hook):
    """Looks at the schedules once they are built: most slips come from a changed number of epochs."""

    def before_train(self, runner: Any) -> None:
        """Refuse what has no length, warn of what the run does not reach."""
        for index, scheduler in enumerate(runner.param_schedulers or []):
            name = f"param_scheduler.{index} ({type(scheduler).__name__})"
            if getattr(scheduler, "total_iters", 1) < 1:
                raise InputError(
                    f"{name}: there is no step between {scheduler.begin} and {scheduler.end}, so the rate "
                    f"would stay at its start for ever; set end={scheduler.begin + 2} or more"
                )
            length = runner.max_epochs if scheduler.by_epoch else runner.max_iters
            for fault in _faults(scheduler, length):
                unit = "epoch(s)" if scheduler.by_epoch else "iterations"
                runner.logger.warning(f"{name}: {fault}, the run has {length} {unit}")


def _faults(scheduler: Any, length: int) -> list[str]:
    """In the schedule's own unit; one unit is too short to be scheduled at all."""
    faults = []
    milestones = sorted(m for m in getattr(scheduler, "milestones", ()) if scheduler.begin + m >= length)
    if milestones and length > 1:
        faults.append(f"milestones={milestones} are at the end or beyond it and lower nothing")
    if "start_factor" in vars(scheduler) and scheduler.begin + scheduler.total_iters > length:
        faults.append(f"the change of the rate takes until {scheduler.begin + scheduler.total_iters}")
    period = getattr(scheduler, "T_max", None)
    if period is not None and scheduler.begin + period < min(scheduler.end, length):
        faults.append(f"T_max={period} ends before, and the rate rises again behind it")
    if period is not None and scheduler.begin + period > length:
        faults.append(f"T_max={period} ends behind it, so the rate does not reach its minimum")
    return faults
