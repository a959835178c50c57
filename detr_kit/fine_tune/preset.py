"""How to train on a data set of a given size, where the command does not say.

What stands behind the figures is measured in docs/training.md, "Presets".
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

EPOCHS = 50
_MOST_EPOCHS = 300


@dataclass(frozen=True)
class Preset:
    """Settings that go with a data set's size; None and False leave the model's own.

    Attributes:
        name: for `--preset`.
        most_images: training pictures up to which it is chosen; None for any number.
        batch_size: pictures in a step.
        least_steps: epochs are added to the usual 50 until the run has so many steps.
        most_lr: a model's higher learning rate, made for larger batches, is lowered to this.
        dropout: of the transformer.
        ema: train with a moving average of the weights.
        nms_iou_threshold: duplicates beyond it are left out of the detections.
    """

    name: str
    most_images: int | None = None
    batch_size: int | None = None
    least_steps: int = 0
    most_lr: float | None = None
    dropout: float | None = None
    ema: bool = False
    nms_iou_threshold: float | None = None

    def epochs(self, num_images: int, images_per_step: int) -> int:
        """Enough for the least number of steps, within reason.

        Args:
            images_per_step: of all processes and accumulated batches together.
        """
        steps = max(num_images // images_per_step, 1)
        return max(EPOCHS, min(-(-self.least_steps // steps), _MOST_EPOCHS))

    def lr(self, of_model: float) -> float | None:
        """The learning rate to train with; None for the model's own."""
        return None if self.most_lr is None or of_model <= self.most_lr else self.most_lr


PRESETS = (
    Preset(
        "small",
        most_images=2000,
        batch_size=2,
        least_steps=5000,
        most_lr=2e-4,
        dropout=0.0,
        ema=True,
        nms_iou_threshold=0.7,
    ),
    Preset("recipe"),
)


def choose_preset(name: str | None, num_images: int) -> Preset:
    """The preset of that name, or without one the first that is meant for so many training pictures.

    Raises:
        InputError: there is none of that name.
    """
    if name is None:
        return next(p for p in PRESETS if p.most_images is None or num_images <= p.most_images)
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise InputError(f"--preset {name}: it must be one of {', '.join(p.name for p in PRESETS)}")
