"""What a training run can do beyond its recipe, switched on without writing a config."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from importlib.util import find_spec

from .errors import InputError

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}  # of mixed precision


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

    def over(self, earlier: Features) -> Features:
        """Field by field what is given here, else what the run began with.

        A run that began with a moving average or in half precision would otherwise go on as another one.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(earlier, **{k: v for k, v in given.items() if v is not None and v is not False})

    def check(self) -> None:
        """Raises InputError where a value is out of its range, or a package is missing."""
        if self.amp is not None and self.amp not in DTYPES:
            raise InputError(f"amp={self.amp!r}; it must be one of {', '.join(DTYPES)}")
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
