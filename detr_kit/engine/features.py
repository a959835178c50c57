"""What a training run can do beyond its recipe, switched on without writing a config."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config, ConfigDict

from ..errors import InputError
from ..registry import takes_argument

_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
FEATURES_FILE = "features.json"  # beside a run's checkpoints
EMA_HOOK = dict(type="EMAHook", ema_type="MomentumAnnealingEMA", momentum=0.0002)


@dataclass(frozen=True)
class Features:
    """Changes to a config; what is None or False leaves the config's own setting.

    Attributes:
        amp: "bf16" or "fp16" mixed precision, the latter with a loss scaler.
        ema: keep a moving average of the weights, validate with it and save it as the model's weights.
        accumulate: batches whose gradients make one step.
        clip_grad: largest norm of all gradients together; 0 does not clip.
        checkpointing: recompute activations in the backward pass instead of keeping them.
        compile: torch.compile the network.
        freeze_backbone: train the rest only.
        warmup: iterations in which the learning rate rises from a hundredth to its own value.
        early_stop: validations without a better AP after which the run ends.
        class_balance: images with a class rarer than this share are drawn more often.
        cache_gb: keep decoded images in memory up to this size.
        skip_unreadable: take another image in place of one that cannot be read.
        seed: of everything random.
        wandb: log to Weights & Biases as well (WANDB_MODE=offline works without an account).
    """

    amp: str | None = None
    ema: bool = False
    accumulate: int | None = None
    clip_grad: float | None = None
    checkpointing: bool = False
    compile: bool = False
    freeze_backbone: bool = False
    warmup: int | None = None
    early_stop: int | None = None
    class_balance: float | None = None
    cache_gb: float | None = None
    skip_unreadable: bool = False
    seed: int | None = None
    wandb: bool = False

    def apply(self, config: Config) -> None:
        """Write them into a prepared config.

        Raises:
            InputError: a value out of range, or a package that is missing.
        """
        self._check()
        network, optim, data = config.model.network, config.optim_wrapper, config.train_dataloader
        if self.amp:
            optim.type, optim.dtype = "AmpOptimWrapper", _DTYPES[self.amp]
        if self.accumulate:
            optim.accumulative_counts = self.accumulate
        if self.clip_grad is not None:
            optim.clip_grad = dict(max_norm=self.clip_grad, norm_type=2) if self.clip_grad else None
        if self.checkpointing:
            _set_argument(network, "transformer", "checkpointing", True)
            # Batch statistics would be counted twice, so a backbone with them keeps its activations.
            if takes_argument(network.get("backbone", {}), "checkpointing"):
                network.backbone.checkpointing = network.backbone.get("norm", "frozen") == "frozen"
        if self.compile:
            config.compile = True
        if self.freeze_backbone:
            _set_argument(network, "backbone", "frozen_stages", 4)
        if self.class_balance:
            data.sampler = dict(type="EpochSampler", shuffle=True, class_balance=self.class_balance)
        if self.cache_gb:
            data.dataset.cache_gb = self.cache_gb
        if self.skip_unreadable:
            data.dataset.unreadable = "skip"
        if self.seed is not None:
            config.randomness.seed = self.seed
        if self.warmup:
            config.param_scheduler = [_warmup(self.warmup), *_without_warmup(config.param_scheduler)]
        if self.ema:
            _add_hook(config, EMA_HOOK)
        if self.early_stop:
            _add_hook(config, dict(type="EarlyStoppingHook", monitor="coco/AP", patience=self.early_stop))
        if self.wandb:
            name = dict(project="detr-kit", dir=config.work_dir)
            config.visualizer.vis_backends.append(dict(type="WandbVisBackend", init_kwargs=name))

    def over(self, earlier: Features) -> Features:
        """Field by field what is given here, else what the run began with.

        A run that began with a moving average or in half precision would otherwise go on as another one.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(earlier, **{k: v for k, v in given.items() if v is not None and v is not False})

    def _check(self) -> None:
        if self.amp is not None and self.amp not in _DTYPES:
            raise InputError(f"amp={self.amp!r}; it must be one of {', '.join(_DTYPES)}")
        for name in ("accumulate", "warmup", "early_stop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}={value}; it must be at least 1")
        for name in ("clip_grad", "cache_gb", "seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**32:
                raise InputError(f"{name}={value}; it must be 0 or more")
        if self.class_balance is not None and not 0 < self.class_balance <= 1:
            raise InputError(f"class_balance={self.class_balance}; it is a share of the images, in (0, 1]")
        if self.wandb and find_spec("wandb") is None:
            raise InputError("wandb is not installed; pip install 'detr-kit[wandb]'")


def _set_argument(network: ConfigDict, part: str, argument: str, value: Any) -> None:
    """Set it where the part takes it: one of a user's own may not."""
    settings = network.get(part, {})
    if not takes_argument(settings, argument):
        raise InputError(
            f"model.network.{part}: {settings.get('type', 'there is none')}: it takes no {argument!r}, which "
            "this run is to set; leave the option out, or give the part such an argument"
        )
    settings[argument] = value


def _warmup(iterations: int) -> dict[str, Any]:
    # mmengine counts both ends: of one iteration there would be none in which the rate rises.
    return dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=max(iterations, 2))


def _without_warmup(schedulers: Any) -> list:
    """A recipe's own warm-up gives way."""
    return [s for s in schedulers if not (s.type == "LinearLR" and s.get("begin", 0) == 0)]


def _add_hook(config: Config, hook: dict[str, Any]) -> None:
    others = [h for h in config.get("custom_hooks") or [] if h.type != hook["type"]]
    config.custom_hooks = [*others, hook]
