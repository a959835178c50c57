"""The text of a config for fine-tuning, written to be read and edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.formats import SPLITS

_SCALES = (0.6, 0.7, 0.8, 0.9, 1.0)  # of the short side in training: 480 … 800 in the papers
_LONG_SIDE = 1333 / 800


@dataclass(frozen=True)
class FineTuning:
    """What a config for fine-tuning says.

    Attributes:
        command, told: for the comment at the top: where it comes from, and what was decided.
        base: the config that it inherits from.
        data_root: the folder of all pictures; images: of each split's; annotations: the file of each split.
        class_names: in the order of their labels; num_queries, most_objects: of the network, of a picture.
        num_images: to train on.
        checkpoint: to start from; image_size: short side in pixels; lr, dropout,
        nms_iou_threshold, hooks: None for the base's.
    """

    command: str
    told: list[str]
    base: Path
    work_dir: Path
    data_root: Path
    images: Mapping[str, Path]
    annotations: Mapping[str, str]
    class_names: list[str]
    num_queries: int
    most_objects: int
    num_images: int
    checkpoint: Path | None
    epochs: int
    batch_size: int
    image_size: int | None
    lr: float | None
    dropout: float | None
    nms_iou_threshold: float | None
    hooks: list[dict[str, Any]] | None


def config_text(settings: FineTuning) -> str:
    """The config as Python."""
    s = settings
    warm_up = max(2, min(100, s.epochs * (s.num_images // s.batch_size) // 10))
    milestone = max(1, round(0.8 * s.epochs))
    parts = [
        _comment(f"Written by: {s.command}"),
        _comment(f"To change something edit this file, then: detr-kit train {s.work_dir / 'config.py'}"),
        *map(_comment, s.told),
        f"_base_ = {_text(s.base)}",
        "",
        f"work_dir = {_text(s.work_dir)}",
        f"data_root = {_text(s.data_root)}  # the pictures",
    ]
    if s.checkpoint is not None:
        parts.append(f"load_from = {_text(s.checkpoint)}  # weights to start from")
    parts += [
        "",
        "model = dict(",
        "    network=dict(",
        f"        num_classes={len(s.class_names)},  # {_names(s.class_names)}",
        f"        num_queries={s.num_queries},  # a training picture has up to {s.most_objects} objects",
        *([f"        transformer=dict(dropout={s.dropout!r}),"] if s.dropout is not None else []),
        "    ),",
        *_postprocessor(s.nms_iou_threshold),
        ")",
        "",
        *_transforms(s.image_size),
        *_loaders(s),
        f"train_cfg = dict(max_epochs={s.epochs}, val_interval=1)",
        *([f"optim_wrapper = dict(optimizer=dict(lr={s.lr!r}))"] if s.lr is not None else []),
        "param_scheduler = [",
        f'    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end={warm_up}),',
        f'    dict(type="MultiStepLR", milestones=[{milestone}], gamma=0.1, by_epoch=True),',
        "]",
        *_hooks(s.hooks),
    ]
    return "\n".join(parts) + "\n"


def _hooks(hooks: list[dict[str, Any]] | None) -> list[str]:
    if hooks is None:
        return []
    return ["custom_hooks = [", *(f"    {_dict(hook)}," for hook in hooks), "]"]


def _dict(settings: Mapping[str, Any]) -> str:
    return f"dict({', '.join(f'{key}={_value(value)}' for key, value in settings.items())})"


def _value(value: object) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _postprocessor(nms_iou_threshold: float | None) -> list[str]:
    if nms_iou_threshold is None:
        return []
    return [f"    postprocessor=dict(nms_iou_threshold={nms_iou_threshold!r}),  # None: keep duplicates"]


def _transforms(image_size: int | None) -> list[str]:
    if image_size is None:
        return []
    sizes = sorted({max(round(image_size * scale), 1) for scale in _SCALES})
    longest = round(image_size * _LONG_SIDE)
    return [
        "_train_transforms = [",
        '    dict(type="RandomHorizontalFlip", p=0.5),',
        f'    dict(type="ResizeShortestSide", sizes={sizes}, max_size={longest}),',
        "]",
        f'_test_transforms = [dict(type="ResizeShortestSide", sizes=[{image_size}], max_size={longest})]',
        "",
    ]


def _loaders(s: FineTuning) -> list[str]:
    lines = []
    for split in SPLITS:
        if split == "test" and s.annotations["test"] == s.annotations["val"]:
            lines.append("test_dataloader = val_dataloader  # there is no test split")
            continue
        batch = [f"    batch_size={s.batch_size},"] if split == "train" else []
        transforms = f"_{'train' if split == 'train' else 'test'}_transforms"
        lines += [
            f"{split}_dataloader = dict(",
            *batch,
            "    dataset=dict(",
            f"        annotations={_text(s.annotations[split])},",
            f"        images={_text(_relative(s.images[split], s.data_root))},",
            '        labels="contiguous",',
            *([f"        transforms={transforms},"] if s.image_size is not None else []),
            "    ),",
            ")",
        ]
    return lines


def _comment(text: str) -> str:
    """One line whatever the names of files hold: behind a line break the rest would be code."""
    return "# " + " ".join(text.replace("\0", " ").split()).encode("utf-8", "replace").decode()


def _text(value: object) -> str:
    """A string as Python and JSON both write it."""
    return json.dumps(str(value), ensure_ascii=not str(value).isprintable())


def _relative(folder: Path, root: Path) -> str:
    """A folder as seen from the root, "" for the root itself."""
    return "" if folder == root else folder.relative_to(root).as_posix()


def _names(names: list[str]) -> str:
    """On one line, for a comment."""
    shown = ", ".join(" ".join(name.split()) for name in names[:12])
    return shown + (f", … ({len(names)})" if len(names) > 12 else "")
