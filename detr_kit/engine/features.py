"""The features of a run, written into its config."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict

from ..errors import InputError
from ..features import DTYPES, Features
from ..registry import parts_taking, takes_argument

FEATURES_FILE = "features.json"  # beside a run's checkpoints
EMA_HOOK = dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.0002)


def apply_features(features: Features, config: Config) -> None:
    """Write them into a prepared config.

    Raises:
        InputError: a value out of range, or a package that is missing.
    """
    features.check()
    network, optim, data = config.model.network, config.optim_wrapper, config.train_dataloader
    if features.amp:
        optim.type, optim.dtype = "AmpOptimWrapper", DTYPES[features.amp]
    if features.accumulate:
        optim.accumulative_counts = features.accumulate
    if features.clip_grad is not None:
        optim.clip_grad = dict(max_norm=features.clip_grad, norm_type=2) if features.clip_grad else None
    if features.checkpointing:
        _checkpoint_activations(network)
    if features.compile:
        config.compile = True
    if features.freeze_backbone:
        _freeze_backbone(network)
    if features.class_balance:
        data.sampler = dict(type="EpochSampler", shuffle=True, class_balance=features.class_balance)
    if features.cache_gb:
        data.dataset.cache_gb = features.cache_gb
    if features.skip_unreadable:
        data.dataset.unreadable = "skip"
    if features.seed is not None:
        config.randomness.seed = features.seed
    if features.warmup:
        config.param_scheduler = [_warmup(features.warmup), *_without_warmup(config.param_scheduler)]
    if features.ema:
        _add_hook(config, EMA_HOOK)
    if features.early_stop:
        _add_hook(config, dict(type="EarlyStoppingHook", monitor="coco/AP", patience=features.early_stop))
    if features.wandb:
        name = dict(project="detr-kit", dir=config.work_dir)
        config.visualizer.vis_backends.append(dict(type="WandbVisBackend", init_kwargs=name))


def _checkpoint_activations(network: ConfigDict) -> None:
    """In every part that can: the transformer, whatever it is called, and the backbone."""
    parts = parts_taking(network, "checkpointing")
    if not set(parts) - {"backbone"}:
        raise InputError(
            f"model.network: no part of {network.type} but the backbone takes 'checkpointing', which this "
            "run is to set; leave the option out, or give the transformer such an argument"
        )
    for part in parts:
        # Batch statistics would be counted twice, so a backbone with them keeps its activations.
        network[part].checkpointing = part != "backbone" or network[part].get("norm", "frozen") == "frozen"


# What freezes a backbone: the number of its last stage, or the beginning that all names of parameters have.
_FREEZING = {"frozen_stages": 4, "frozen": ("",)}


def _freeze_backbone(network: ConfigDict) -> None:
    """By the argument that the backbone takes: one of a user's own may have neither."""
    settings = network.get("backbone", {})
    for argument, value in _FREEZING.items():
        if takes_argument(settings, argument):
            settings[argument] = value
            return
    raise InputError(
        f"model.network.backbone: {settings.get('type', 'there is none')}: it takes no "
        f"{' and no '.join(map(repr, _FREEZING))}, of which this run is to set one; leave the option out, or "
        "give the part such an argument"
    )


def _warmup(iterations: int) -> dict[str, Any]:
    # mmengine counts both ends: of one iteration there would be none in which the rate rises.
    return dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=max(iterations, 2))


def _without_warmup(schedulers: Any) -> list:
    """A recipe's own warm-up gives way."""
    return [s for s in schedulers if not (s.type == "LinearLR" and s.get("begin", 0) == 0)]


def _add_hook(config: Config, hook: dict[str, Any]) -> None:
    others = [h for h in config.get("custom_hooks") or [] if h.type != hook["type"]]
    config.custom_hooks = [*others, hook]
