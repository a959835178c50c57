"""Fine-tuning on a folder of files: the config is written for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..check.annotation_table import annotation_table
from ..check.list_findings import objects_per_image
from ..checkpoints import CheckpointFile, checkpoint_path, detect_format, read_checkpoint, strip_wrapper
from ..checkpoints.architecture import Architecture
from ..config import config_names, find_config, read_config
from ..data.formats import SPLITS, Content, DataSource, find_data, hold_out, look_alikes_of
from ..errors import InputError
from .features import EMA_HOOK, Features
from .fine_tune_config import FineTuning, config_text
from .fine_tune_preset import choose_preset
from .run import train

# Trained where neither a model nor weights to start from are named: see docs/training.md, "Presets".
MODEL = "deformable_detr_r50_two_stage"
HELD_OUT = 0.2


@dataclass(frozen=True)
class _Part:
    """A split as the config names it; a converted one's annotation file is yet to be written."""

    annotations: str
    images: Path
    data: dict[str, Any]
    is_converted: bool = False


def fine_tune(
    *,
    resume: bool | str | Path = False,
    features: Features | None = None,
    auto_scale_lr: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    **arguments: Any,
) -> Runner:
    """Train on a data set with a config that is written for it.

    Args:
        resume, features, auto_scale_lr, options, launcher: of `train`.
        arguments: of `write_fine_tune_config`.

    Raises:
        InputError: as both.
    """
    if resume and (config := _config_file(arguments)).is_file():
        print(f"going on with {config} as it stands", flush=True)
    else:
        config = write_fine_tune_config(**arguments)
    return train(
        config,
        resume=resume,
        features=features,
        auto_scale_lr=auto_scale_lr,
        options=options,
        launcher=launcher,
    )


def _work_dir(data: str | Path, model: str, work_dir: str | Path | None) -> Path:
    return Path(work_dir or f"work_dirs/{Path(model).stem}_{_stem(Path(data))}").absolute()


def _read(checkpoint: str | Path | None) -> CheckpointFile | None:
    if checkpoint is None:
        return None
    if not checkpoint_path(checkpoint).exists():
        raise InputError(f"--checkpoint {checkpoint}: no such file")
    return read_checkpoint(checkpoint)


def _model_of(checkpoint: str | Path | None, file: CheckpointFile | None) -> str:
    """The shipped config that weights were trained with, as far as they tell."""
    if file is None:
        return MODEL
    try:
        found = detect_format(strip_wrapper(file.state_dict)).architecture
    except InputError as error:
        raise InputError(f"--checkpoint {checkpoint}: {error}") from error
    dilation = "_dc5" * bool(file.metadata.get("dilation"))  # which leaves no trace in weights
    named = file.metadata.get("config")
    name = str(named or found.config_name + dilation)
    if name not in config_names() or not (named or _is_of(found, read_config(name).model.network)):
        raise InputError(f"--checkpoint {checkpoint}: no shipped config is of these weights; give --model")
    return name


def _is_of(found: Architecture, network: Config) -> bool:
    """Whether a config's network has the sizes that weights show."""
    sizes = ("embed_dims", "ffn_dims", "num_encoder_layers", "num_decoder_layers")
    same_transformer = all(getattr(found, size) == network.transformer[size] for size in sizes)
    return found.depth == network.backbone.depth and same_transformer


def _config_file(arguments: Mapping[str, Any]) -> Path:
    """Where `write_fine_tune_config` would write: a run that is resumed has its config there."""
    checkpoint = arguments.get("checkpoint")
    model = arguments.get("model") or _model_of(checkpoint, _read(checkpoint))
    return _work_dir(arguments["data"], model, arguments.get("work_dir")) / "config.py"


def write_fine_tune_config(
    data: str | Path,
    model: str | None = None,
    *,
    work_dir: str | Path | None = None,
    images: str | Path | None = None,
    checkpoint: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    lr: float | None = None,
    preset: str | None = None,
) -> Path:
    """Write a config for a data set into the work directory, and print it.

    Args:
        data: COCO, Pascal VOC or YOLO files, as `find_data` takes them; images: the folder of the pictures,
            where it is not beside the annotations.
        model: the config to start from, by name or path; by default that of the checkpoint, or without one
            `deformable_detr_r50_two_stage`.
        work_dir: `work_dirs/MODEL_DATA` by default.
        checkpoint: weights to start from, of any known format.
        epochs, batch_size, lr: instead of the preset's or the model's.
        preset: "small" or "recipe"; by default as many training pictures as there are decide.
        image_size: the short side in pixels at which the network sees the pictures; the model's otherwise.

    Returns:
        The config's path, `WORK_DIR/config.py`; annotations that had to be converted are in `WORK_DIR/data`.

    Raises:
        InputError: as `find_data`; the splits do not fit together; or another config is there already.
    """
    for name, value in (
        ("epochs", epochs),
        ("batch-size", batch_size),
        ("image-size", image_size),
        ("lr", lr),
    ):
        if value is not None and value <= 0:
            raise InputError(f"--{name} {value}: it must be larger than 0")
    file = _read(checkpoint)  # one that is none is refused before anything is written
    model = model or _model_of(checkpoint, file)
    base, source = read_config(model), find_data(data, images)
    folder = _work_dir(source.path, model, work_dir)
    parts, told = _parts(source, folder / "data")
    num_images = len(parts["train"].data["images"])
    chosen = choose_preset(preset, num_images)
    told.append(f"{num_images} pictures to train on: preset {chosen.name}")
    batch_size = min(batch_size or chosen.batch_size or base.train_dataloader.batch_size, num_images)
    settings = FineTuning(
        command=f"detr-kit train --data {data} --model {model}",
        told=told,
        base=find_config(model).resolve(),
        work_dir=folder,
        data_root=Path(os.path.commonpath([part.images for part in parts.values()])),
        images={name: part.images for name, part in parts.items()},
        annotations={name: part.annotations for name, part in parts.items()},
        class_names=_class_names(parts, source),
        num_queries=_num_queries(parts["train"], base),
        most_objects=_most_objects(parts["train"]),
        num_images=num_images,
        checkpoint=None if checkpoint is None else checkpoint_path(checkpoint).absolute(),
        epochs=epochs or chosen.epochs(num_images, batch_size),
        batch_size=batch_size,
        image_size=image_size or _size_of_test_alone(base),
        lr=lr,
        # Weights that were trained with dropout go on with it.
        dropout=chosen.dropout if checkpoint is None else None,
        nms_iou_threshold=chosen.nms_iou_threshold,
        hooks=_with_ema(base) if chosen.ema else None,
    )
    path = folder / "config.py"
    _write_config(path, config_text(settings))  # first: it refuses to take the place of another run
    for part in parts.values():
        if part.is_converted:
            _write_whole(Path(part.annotations), json.dumps(part.data))
    return path


def _stem(path: Path) -> str:
    """A data set's name: its folder's, where the file's says nothing (data.yaml, train.json)."""
    path = path.absolute()
    return path.name if path.is_dir() else path.parent.name


def _parts(source: DataSource, folder: Path) -> tuple[dict[str, _Part], list[str]]:
    """The splits to train, validate and test on, and what to tell of them."""
    contents = {name: split.read() for name, split in source.splits.items()}
    told = list(dict.fromkeys(t for c in contents.values() for t in (*c.warnings, *c.notes)))
    whole = {name: content.refuse_problems() for name, content in contents.items()}
    first = "train" if "train" in whole else "all"
    if first not in whole:
        raise InputError(
            f"{source.path}: a {', '.join(whole)} split and none to train on; give a train split"
        )
    if not whole[first]["images"]:
        raise InputError(f"{source.path}: no picture in the {first} split")
    written: dict[str, dict[str, Any]] = {}
    if "val" not in whole:
        alike = look_alikes_of(whole[first], source.splits[first].images)
        written["train"], written["val"] = hold_out(whole[first], HELD_OUT, groups=alike.groups)
        count, total = len(written["val"]["images"]), len(whole[first]["images"])
        told.append(f"no validation split: {count} of {total} pictures are held out of training (seed 0)")
        told.append(f"{alike.note}; those of one group stay on one side" if alike.has_groups else alike.note)
    if source.format != "coco":
        written = {name: data for name, data in whole.items() if name != "all"} | written
    parts: dict[str, _Part] = {}
    for name in SPLITS:
        images = source.splits[name if name in source.splits else first].images.absolute()
        if name in written:
            parts[name] = _Part(str(folder / f"{name}.json"), images, written[name], is_converted=True)
        elif name in whole:
            parts[name] = _Part(str(source.splits[name].source.absolute()), images, whole[name])
    parts.setdefault("test", parts["val"])
    return parts, told


def _class_names(parts: Mapping[str, _Part], source: DataSource) -> list[str]:
    """Names in the order of their ids, the same in every split."""
    names = {
        name: [str(c.get("name")) for c in sorted(part.data["categories"], key=lambda c: int(c["id"]))]
        for name, part in parts.items()
    }
    for name, found in names.items():
        if found != names["train"]:
            raise InputError(
                f"{source.path}: the train split has the classes {names['train']}, the {name} split {found}; "
                "give all the same, in the same order of ids"
            )
    if not names["train"]:
        raise InputError(f"{source.path}: no class is named, so there is nothing to learn")
    return names["train"]


def _most_objects(part: _Part) -> int:
    return int(objects_per_image(annotation_table(part.annotations, Content(part.data))).max(initial=0))


def _num_queries(part: _Part, base: Config) -> int:
    """The model's, or enough for the fullest picture with some to spare."""
    own = int(base.model.network.num_queries)
    most = _most_objects(part)
    return own if most <= own else -(-3 * most // 20) * 10


def _with_ema(base: Config) -> list[dict[str, Any]]:
    """The base's hooks and the moving average."""
    own = [dict(hook) for hook in base.get("custom_hooks") or []]
    return own if any(hook["type"] == EMA_HOOK["type"] for hook in own) else [*own, EMA_HOOK]


def _size_of_test_alone(base: Config) -> int | None:
    """The size of the model's test pictures, where it takes training pictures as they are: one for both."""
    if "ResizeShortestSide" in str(base.train_dataloader.dataset.get("transforms")):
        return None
    resizes = [
        t for t in base.test_dataloader.dataset.get("transforms") or [] if t.type == "ResizeShortestSide"
    ]
    if not resizes:
        return None
    sizes = resizes[0].sizes
    return int(sizes if isinstance(sizes, int) else max(sizes))


def _write_config(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise InputError(
            f"{path}: there is another config already, and it may have been edited. To use it: "
            f"detr-kit train {path}; to write this one choose another --work-dir, or remove the file"
        )
    _write_whole(path, text)
    if os.environ.get("RANK", "0") == "0":
        print(f"{path}:\n\n{text}", flush=True)


def _write_whole(path: Path, text: str) -> None:
    """Under its name only once it is complete: several processes may write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
