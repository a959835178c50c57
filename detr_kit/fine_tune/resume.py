"""Going on with a run on a data set by the command that began it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import read_config
from ..engine.hooks.checkpoint import last_checkpoint
from ..errors import InputError
from ..first_process import is_first_process
from .run_folder import option_text
from .written_config import WrittenConfig, write_whole


def config_to_resume(
    path: Path, data: str, given: Mapping[str, Any], converted: Mapping[Path, dict[str, Any]]
) -> Path:
    """The config that a run began with, where the command says nothing against it; its epochs may be raised.

    Args:
        path: of the config; data: the data set; given: the command's options.
        converted: what the data set's annotations are now, by the file in the run's folder that holds them.

    Raises:
        InputError: another data set, one that was changed, an option that the run did not begin with, or
            fewer epochs than it has trained.
    """
    written = WrittenConfig.read(path)
    if written.data not in (None, data):
        raise InputError(
            f"--resume: the run in {path.parent} is on {written.data}, not on {data}; choose its --work-dir"
        )
    _refuse_other_options(path, written, given)
    _refuse_changed_data(path, converted)
    epochs = given.get("epochs")
    told = None if epochs is None else _set_epochs(path, written, int(epochs))
    if is_first_process():
        print(f"going on with {path}, {told or 'as it stands'}", flush=True)
    return path


def _refuse_other_options(path: Path, written: WrittenConfig, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        began = written.options.get(name)
        if name == "epochs" or value == began:
            continue
        how = f"with {option_text({name: began})}" if began is not None else "without it"
        raise InputError(
            f"{option_text({name: value})} beside --resume: the run in {path.parent} began {how} and goes on "
            f"as it began. Leave the option out; or edit {path} and run detr-kit train {path} --resume; or "
            "leave --resume out to start another run"
        )


def _refuse_changed_data(path: Path, converted: Mapping[Path, dict[str, Any]]) -> None:
    """Annotations that were converted are not read again in a run that is resumed."""
    for name, data in converted.items():
        file = path.parent / name
        if not file.is_file():
            raise InputError(f"--resume: {file}: no such file; start another run without --resume")
        began = json.loads(file.read_text(encoding="utf-8"))
        if began == json.loads(json.dumps(data)):
            continue
        what = "the pictures or boxes"
        if began["categories"] != json.loads(json.dumps(data["categories"])):
            was, now = ([str(c["name"]) for c in part["categories"]] for part in (began, data))
            what = f"the classes, {was} then and {now} now"
        raise InputError(
            f"--resume: the data set is not what it was when the run in {path.parent} began: {what} are "
            f"others ({name.stem}). To go on with the data of then: detr-kit train {path} --resume; to train "
            "on that of now leave --resume out"
        )


def _set_epochs(path: Path, written: WrittenConfig, epochs: int) -> str | None:
    """Write another number of epochs into the config, and say what that means; None where it is the same."""
    config = read_config(path)
    former, done = int(config.train_cfg.max_epochs), _epochs_done(path.parent)
    if epochs < done:
        raise InputError(
            f"--epochs {epochs} beside --resume: the run in {path.parent} has trained {done} epochs already; "
            "give more, or start another run without --resume"
        )
    if epochs == former:
        return None
    text = written.with_epochs(epochs)
    if text is None:
        raise InputError(
            f"--epochs {epochs} beside --resume: {path} was edited, and its epochs are not where they were; "
            f"set train_cfg.max_epochs there and run detr-kit train {path} --resume"
        )
    write_whole(path, text)
    return f"with {epochs} epochs instead of {former}: {_schedule(config)}"


def _epochs_done(folder: Path) -> int:
    checkpoint = last_checkpoint(folder)
    number = re.fullmatch(r"epoch_(\d+)\.pth", Path(checkpoint).name) if checkpoint else None
    return int(number[1]) if number else 0


def _schedule(config: Any) -> str:
    """What the learning rate does, which more epochs do not change."""
    steps = [
        f"× {scheduler.gamma:g} after epoch {milestone}"
        for scheduler in config.get("param_scheduler") or []
        if scheduler.type == "MultiStepLR"
        for milestone in scheduler.milestones
    ]
    steps += [
        f"as a cosine to × {scheduler.eta_min_ratio:g} until epoch {scheduler.end}"
        for scheduler in config.get("param_scheduler") or []
        if scheduler.type == "CosineAnnealingLR" and "eta_min_ratio" in scheduler
    ]
    falls = f"falls {' and '.join(steps)} as before, and then stays there" if steps else "stays what it is"
    return f"the learning rate {falls}"
