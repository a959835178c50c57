"""The text of a config for fine-tuning, written to be read and edited."""

from __future__ import annotations

import json
import os
import pprint
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.formats import SPLITS
from .recipe import RECIPES, Recipe
from .run_folder import option_text
from .written_config import located, stamped

_SCALES = (0.6, 0.7, 0.8, 0.9, 1.0)  # of the short side in training: 480 … 800 in the papers
_LONG_SIDE = 1333 / 800


@dataclass(frozen=True)
class FineTuning:
    """What a config for fine-tuning says.

    Attributes:
        data: the data set; options: of the command, where the config comes from; told: what was decided.
        base: the config that it inherits from.
        network: in place of the base's; None for that one.
        images: the folder of each split's pictures; annotations: the file of each split, relative to the
            run's folder where it is written for the run.
        class_names: in the order of their labels; num_queries, most_objects: of the network, of a picture.
        steps: that the run has; accumulate: batches of a step.
        checkpoint: to start from, a path or "builtin".
        image_size: short side in pixels; is_square: pictures become squares of it, as the base has them.
        dropout: of the network's parts by their names; {} for the base's.
        lr, nms_iou_threshold, max_detections, hooks: None for the base's.
        recipe: how the run goes about it.
        classification: the loss that the recipe puts in the place of the base's; None for the base's.
        finds_unused: several processes leave parameters without a gradient.
        accumulates_by_config: and not by the command.
    """

    data: str
    options: Mapping[str, Any]
    told: list[str]
    base: Path
    network: Mapping[str, Any] | None
    images: Mapping[str, Path]
    annotations: Mapping[str, Path]
    class_names: list[str]
    num_queries: int
    most_objects: int
    steps: int
    accumulate: int
    checkpoint: Path | str | None
    epochs: int
    batch_size: int
    image_size: int | None
    is_square: bool
    lr: float | None
    dropout: Mapping[str, float]
    nms_iou_threshold: float | None
    max_detections: int | None
    hooks: list[dict[str, Any]] | None
    recipe: Recipe = RECIPES[0]
    classification: str | None = None
    finds_unused: bool = False
    accumulates_by_config: bool = False


def config_text(settings: FineTuning, folder: Path) -> str:
    """The config as Python, for `folder`/config.py; its paths are relative to it where they can be."""
    s = settings
    root = Path(os.path.commonpath([path.absolute() for path in s.images.values()]))
    command = " ".join([f"detr-kit train --data {s.data}", option_text(s.options)]).rstrip()
    parts = [
        _comment(f"Written by: {command}"),
        "# To change something edit this file, then: detr-kit train THIS_FILE",
        *map(_comment, s.told),
        f"_base_ = {_text(s.base)}",
        "",
        f"work_dir = {_text(located(folder, folder))}  # where this file is",
        f"data_root = {_text(located(root, folder))}  # the pictures",
    ]
    if s.checkpoint is not None:
        checkpoint = located(s.checkpoint, folder) if isinstance(s.checkpoint, Path) else s.checkpoint
        parts.append(f"load_from = {_text(checkpoint)}  # weights to start from")
    parts += [
        "",
        *_model(s),
        "",
        *_transforms(s),
        *_loaders(s, folder, root),
        f"train_cfg = dict(max_epochs={s.epochs}, val_interval=1)",
        *_optimizer(s),
        *_schedule(s),
        *_hooks(s.hooks),
    ]
    return stamped("\n".join(parts) + "\n", s.data, s.options)


def _model(s: FineTuning) -> list[str]:
    own = {
        "nms_iou_threshold": (s.nms_iou_threshold, "None: keep duplicates"),
        "max_detections": (s.max_detections, f"a picture has up to {s.most_objects} objects"),
    }
    kept = [f"        {name}={value!r},  # {why}" for name, (value, why) in own.items() if value is not None]
    postprocessor = ["    postprocessor=dict(", *kept, "    ),"] if kept else []
    loss = f'dict(_delete_=True, type="{s.classification}")'
    criterion = [f"    criterion=dict(classification={loss}, weight_class=1),"] if s.classification else []
    return ["model = dict(", *_network(s), *criterion, *postprocessor, ")"]


def _network(s: FineTuning) -> list[str]:
    classes = f"# {_names(s.class_names)}"
    queries = f"# a training picture has up to {s.most_objects} objects"
    if s.network is not None:
        network = {"_delete_": True, **s.network}
        network |= {"num_classes": len(s.class_names), "num_queries": s.num_queries}
        network |= {part: {**network[part], "dropout": value} for part, value in s.dropout.items()}
        text = pprint.pformat(network, width=100, sort_dicts=False)
        return [f"    {classes}", f"    {queries}", "    network=" + text.replace("\n", "\n    ") + ","]
    return [
        "    network=dict(",
        f"        num_classes={len(s.class_names)},  {classes}",
        f"        num_queries={s.num_queries},  {queries}",
        *(f"        {part}=dict(dropout={value!r})," for part, value in s.dropout.items()),
        "    ),",
    ]


def _schedule(s: FineTuning) -> list[str]:
    """A warm-up over a tenth of the run; a tenth of the rate for its last fifth, or a cosine for its half."""
    warm_up = max(2, min(100, s.steps // 10) * s.accumulate)
    milestone = round(0.8 * s.epochs)
    lines = ["param_scheduler = ["]
    lines += [f'    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end={warm_up}),']
    if s.recipe.flat_cosine:
        flat = s.epochs // 2
        lines += [
            f'    dict(type="CosineAnnealingLR", begin={flat}, end={s.epochs}, T_max={s.epochs - flat}, '
            "eta_min_ratio=0.05, by_epoch=True, convert_to_iter_based=True),"
        ]
    elif 0 < milestone < s.epochs:
        lines += [f'    dict(type="MultiStepLR", milestones=[{milestone}], gamma=0.1, by_epoch=True),']
    return [*lines, "]"]


def _optimizer(s: FineTuning) -> list[str]:
    settings = [f"optimizer=dict(lr={s.lr!r})"] if s.lr is not None else []
    if s.accumulates_by_config:
        settings.append(f"accumulative_counts={s.accumulate}")
    if s.recipe.layer_decay is not None:
        settings.append(f"paramwise_cfg=dict(layer_decay={s.recipe.layer_decay})")
    lines = [f"optim_wrapper = dict({', '.join(settings)})"] if settings else []
    return [*lines, "find_unused_parameters = True"] if s.finds_unused else lines


def _hooks(hooks: list[dict[str, Any]] | None) -> list[str]:
    if hooks is None:
        return []
    return ["custom_hooks = [", *(f"    {_value(hook)}," for hook in hooks), "]"]


def _value(value: object) -> str:
    """As a config has it: dict(…) for what has names."""
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{key}={_value(part)}' for key, part in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value) if isinstance(value, str) else repr(value)


def _transforms(s: FineTuning) -> list[str]:
    if s.image_size is None:
        return []
    strong = s.recipe.strong_transforms(s.image_size, s.epochs)
    lines = [*_strong_lines(strong[0] if strong else None), '    dict(type="RandomHorizontalFlip", p=0.5),']
    longest = round(s.image_size * _LONG_SIDE)
    if s.is_square:
        resize = f'dict(type="Resize", size=[{s.image_size}, {s.image_size}], antialias=True)'
        test = resize
    else:
        sizes = sorted({max(round(s.image_size * scale), 1) for scale in _SCALES})
        resize = f'dict(type="ResizeShortestSide", sizes={sizes}, max_size={longest})'
        test = f'dict(type="ResizeShortestSide", sizes=[{s.image_size}], max_size={longest})'
    return ["_train_transforms = [", *lines, f"    {resize},", "]", f"_test_transforms = [{test}]", ""]


def _strong_lines(strong: Mapping[str, Any] | None) -> list[str]:
    """A line for each transform; what they are follows the recipe, and is for editing."""
    if strong is None:
        return []
    return [
        "    dict(",
        '        type="UntilEpoch",',
        f"        epoch={strong['epoch']},  # the first without, counted from 0",
        "        transforms=[",
        *(f"            {_value(transform)}," for transform in strong["transforms"]),
        "        ],",
        "    ),",
    ]


def _loaders(s: FineTuning, folder: Path, root: Path) -> list[str]:
    lines = []
    for split in SPLITS:
        if split == "test" and s.annotations["test"] == s.annotations["val"]:
            lines.append("test_dataloader = val_dataloader  # there is no test split")
            continue
        batch = [f"    batch_size={s.batch_size},"] if split == "train" else []
        if split == "train" and s.recipe.class_balance is not None:
            batch.append(
                f"    sampler=dict(class_balance={s.recipe.class_balance}),  # rare classes more often"
            )
        if split == "train" and s.is_square and s.image_size is not None:  # the base's sizes change
            batch.append('    collate_fn=dict(_delete_=True, type="detr_kit.pad_collate"),')
        transforms = f"_{'train' if split == 'train' else 'test'}_transforms"
        lines += [
            f"{split}_dataloader = dict(",
            *batch,
            "    dataset=dict(",
            f"        annotations={_text(located(folder / s.annotations[split], folder))},",
            f"        images={_text(_relative(s.images[split], root))},",
            '        labels="contiguous",',
            *([f"        transforms={transforms},"] if s.image_size is not None else []),
            "    ),",
            ")",
        ]
    return lines


def _comment(text: str) -> str:
    """One line whatever the names of files hold: behind a line break the rest would be code."""
    words = text.replace("\0", " ").replace("{{", "{ {").split()
    return "# " + " ".join(words).encode("utf-8", "replace").decode()


def _text(value: object) -> str:
    """A string as Python and JSON both write it."""
    return json.dumps(str(value), ensure_ascii=not str(value).isprintable())


def _relative(folder: Path, root: Path) -> str:
    """A folder as seen from the root, "" for the root itself."""
    return "" if folder == root else folder.relative_to(root).as_posix()


def _names(names: list[str]) -> str:
    """On one line, for a comment."""
    shown = ", ".join(" ".join(name.replace("{{", "{ {").split()) for name in names[:12])
    return shown + (f", … ({len(names)})" if len(names) > 12 else "")
