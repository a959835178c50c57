"""What the data, the model, the preset and the recipe make of a command, before a file is written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints import checkpoint_path
from ..checkpoints.location import BUILTIN, is_elsewhere
from ..data.formats import DataSource
from ..engine.batch_probe import fitting_batch
from ..engine.features import EMA_HOOK
from ..engine.prepare import prepare_config
from ..errors import InputError
from ..evaluation import detections_for
from ..registry import MODELS, find_type
from .base import Base, is_square, short_side, size_of_test_alone
from .config import FineTuning, config_text
from .data import Part, class_names_of, converted, identity, most_objects, parts_of
from .image_size import propose_image_size
from .preset import choose_preset
from .recipe import Recipe
from .run_folder import CONFIG

AUTO = "auto"  # of --batch-size and --image-size


@dataclass(frozen=True)
class Plan:
    """Everything that is known of a run before a file of it is written."""

    settings: FineTuning
    annotations: dict[Path, dict[str, Any]]


def plan_of(
    source: DataSource,
    base: Base,
    given: Mapping[str, Any],
    checkpoint: str | Path | None,
    recipe: Recipe,
    num_processes: int,
    accumulate: int,
    strict: bool,
) -> Plan:
    """What the data, the model and the preset make of what was given."""
    parts, told = parts_of(source, max_left_out=0.0) if strict else parts_of(source)
    num_images = len(parts["train"].data["images"])
    chosen = choose_preset(given.get("preset"), num_images)
    told.append(f"{num_images} pictures to train on: preset {chosen.name}")
    own_batch = chosen.batch_size or base.config.train_dataloader.batch_size
    batch_size = given.get("batch_size") or own_batch
    if batch_size == AUTO:  # all of the recipe's at first: what fits is found once the rest is known
        if num_processes > 1:
            raise InputError(
                f"--batch-size auto: {num_processes} processes may each find another; find it with one first"
            )
        whole = (base.config.get("auto_scale_lr") or {}).get("base_batch_size", own_batch)
        batch_size = chosen.batch_size or whole
    batch_size = min(batch_size, num_images)
    per_step = batch_size * num_processes * accumulate
    if per_step != batch_size:
        told.append(
            f"{per_step} pictures a step: {num_processes} process(es), {accumulate} batch(es) of {batch_size}"
        )
    epochs = given.get("epochs") or chosen.epochs(num_images, per_step)
    steps = epochs * max(num_images // per_step, 1)
    if recipe.says:
        told.append(f"recipe {recipe.name}: {recipe.says}")
    of_model = base.image_size or short_side(base.config.test_dataloader.dataset.get("transforms"))
    image_size = given.get("image_size") or base.image_size or size_of_test_alone(base.config)
    image_size = _image_size(image_size, of_model, parts["train"], told)
    if image_size is None and recipe.strong:
        image_size = of_model
        if image_size is None:
            raise InputError(f"--recipe {recipe.name}: the model says no picture size; give --image-size N")
    classification = _classification(recipe, base.config)
    if recipe.classification is not None and classification is None:
        told.append(f"the model's own classification loss stays: it has no place for {recipe.classification}")
    own_hooks = recipe.hooks(epochs, steps)
    hooks = _with_ema(base.config) if chosen.ema else None
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
        steps=steps,
        accumulate=accumulate,
        checkpoint=_checkpoint(checkpoint),
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        is_square=is_square(base.config),
        lr=given.get("lr") or chosen.lr(float(base.config.optim_wrapper.optimizer.lr)),
        # Weights that were trained with dropout go on with it.
        dropout={} if checkpoint is not None else _dropout(chosen.dropout, base),
        nms_iou_threshold=chosen.nms_iou_threshold,
        max_detections=_max_detections(max(most.values()), base.config),
        hooks=_with_hooks(base.config, hooks, own_hooks) if own_hooks else hooks,
        recipe=recipe,
        classification=classification,
        finds_unused=num_processes > 1 and recipe.frozen > 0,
    )
    if settings.max_detections is not None:
        told.append(
            f"a picture has up to {max(most.values())} objects: {settings.num_queries} queries, up to "
            f"{settings.max_detections} detections"
        )
    return Plan(settings, converted(parts))


def _image_size(given: int | str | None, of_model: int | None, train: Part, told: list[str]) -> Any:
    """The one that was asked for; "auto" is what the objects' sizes ask for. One far from it is named."""
    proposed = propose_image_size(train)
    if given == AUTO:
        if proposed is None:
            raise InputError("--image-size auto: the set has no objects whose size is known; give a number")
        told.append(f"--image-size auto: {proposed[0]}: {proposed[1]}")
        return proposed[0]
    size = given or of_model
    if proposed is not None and size is not None:
        ratio = proposed[0] / int(size)
        effect = (
            "shows small objects better" if ratio > 1.25 else "is enough, and quicker" if ratio < 0.6 else ""
        )
        if effect:
            told.append(
                f"pictures are seen at {size} pixels; --image-size {proposed[0]} {effect}: {proposed[1]}"
            )
    return given


def with_fitting_batch(plan: Plan, memory_gb: float | None, options: Mapping[str, Any] | None) -> Plan:
    """The plan with as much of its batch at a time as memory has room for, and the rest accumulated."""
    s = plan.settings
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CONFIG)
        path.write_text(config_text(s, Path(folder)), encoding="utf-8")
        config = prepare_config(path, options=options)
    batch, why = fitting_batch(
        config, s.batch_size, s.most_objects, None if memory_gb is None else memory_gb * 1e9
    )
    accumulate = s.batch_size // batch
    settings = replace(
        s,
        told=[*s.told, why, f"{s.batch_size} pictures a step: {accumulate} batch(es) of {batch}"],
        batch_size=batch,
        accumulate=accumulate,
        accumulates_by_config=accumulate > 1,
    )
    return replace(plan, settings=settings)


def _dropout(value: float | None, base: Base) -> dict[str, float]:
    """The preset's, for every part of the network that has one."""
    network = base.network or base.config.model.network.to_dict()
    parts = {name: part for name, part in network.items() if isinstance(part, Mapping) and "dropout" in part}
    return {} if value is None else dict.fromkeys(parts, value)


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


def _with_hooks(
    base: Config, hooks: list[dict[str, Any]] | None, own: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The base's or the preset's hooks; the recipe's say otherwise of those of their kind."""
    others = [dict(hook) for hook in base.get("custom_hooks") or []] if hooks is None else hooks
    former = {hook["type"]: hook for hook in others}
    kinds = {hook["type"] for hook in own}
    kept = [hook for hook in others if hook["type"] not in kinds]
    return [*kept, *({**former.get(hook["type"], {}), **hook} for hook in own)]


def _classification(recipe: Recipe, base: Config) -> str | None:
    """The recipe's loss, where the model's is for sigmoids too."""
    loss = None if recipe.classification is None else find_type(recipe.classification, MODELS)
    if loss is None:
        return None
    matcher = base.model.criterion.matcher
    return recipe.classification if matcher.get("classification") == loss.classification else None


def _checkpoint(checkpoint: str | Path | None) -> Path | str | None:
    """As a config names it: published weights by name, so that it runs on other machines too."""
    if checkpoint is None or str(checkpoint) == BUILTIN or is_elsewhere(checkpoint):
        return checkpoint
    return checkpoint_path(checkpoint).absolute()
