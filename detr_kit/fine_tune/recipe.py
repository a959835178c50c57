"""How a run on a data set augments, schedules and averages, by the names of `--recipe`.

A preset says how much is trained (steps, batch, rate), a recipe how. Both are written into the config. What
each ingredient gives is measured by benchmarks/few_pictures.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

_DENSE = dict(scale=(0.5, 0.5), centre=(0.5, 0.5))
# Transforms by their name in a recipe, for pictures of a size in pixels.
AUGMENTATIONS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "mosaic": lambda size: [dict(type="Mosaic", size=size, p=0.5)],
    "dense_mosaic": lambda size: [dict(type="Mosaic", size=size, **_DENSE, p=0.5)],
    "warp": lambda size: [
        dict(type="RandomWarp", degrees=10, scale=(0.75, 1.35), translate=0.1, shear=2, p=0.7)
    ],
    "mix_up": lambda size: [dict(type="MixUp", p=0.2)],
    "dense_mix_up": lambda size: [
        dict(type="MixUp", transforms=[dict(type="Mosaic", size=size, **_DENSE)], p=0.5)
    ],
    "copy_paste": lambda size: [dict(type="CopyPaste", p=0.3)],
    "large_scale_jitter": lambda size: [dict(type="LargeScaleJitter", size=size, scale=(0.4, 1.6), p=0.5)],
    "zoom_and_crop": lambda size: [
        dict(type="RandomZoomOut", fill=114, side_range=(1.0, 2.0), p=0.3),
        dict(type="RandomApply", p=0.5, transforms=[dict(type="RandomIoUCrop")]),
        dict(type="SanitizeBoundingBoxes", min_size=1),
    ],
    "cut_out": lambda size: [dict(type="CutOut", p=0.3)],
    "colour": lambda size: [dict(type="HSVJitter", p=0.8)],
}


@dataclass(frozen=True)
class Recipe:
    """How a run goes about it; the defaults are those of the papers' recipes.

    Attributes:
        name: for `--recipe`.
        says: what it is, for the comment in the config.
        strong: names of AUGMENTATIONS, in this order; () leaves the model's transforms.
        strong_until: the share of the epochs that have them.
        flat_cosine: one rate for half of the run, which then falls as a cosine to a twentieth; else it falls
            to a tenth after four fifths.
        ema: moving average of the weights that follows quickly at first, by the length of the run.
        frozen: the share of the epochs at whose beginning the backbone is not trained.
        layer_decay: of the backbone's learning rate from layer to layer, see GroupedOptimWrapperConstructor.
        class_balance: share of the pictures below which a class counts as rare, see EpochSampler.
        classification: a loss that takes the place of another for sigmoids, where the model has one.
    """

    name: str
    says: str = ""
    strong: tuple[str, ...] = ()
    strong_until: float = 0.85
    flat_cosine: bool = False
    ema: bool = False
    frozen: float = 0.0
    layer_decay: float | None = None
    class_balance: float | None = None
    classification: str | None = None

    def strong_transforms(self, size: int, epochs: int) -> list[dict[str, Any]]:
        """The strong transforms, which end with an epoch; [] where there is none.

        Args:
            size: of the pictures, pixels.
        """
        if not self.strong:
            return []
        transforms = [part for name in self.strong for part in AUGMENTATIONS[name](size)]
        return [dict(type="UntilEpoch", epoch=round(self.strong_until * epochs), transforms=transforms)]

    def hooks(self, epochs: int, steps: int) -> list[dict[str, Any]]:
        """The hooks that it brings, for a run of so many epochs and steps."""
        hooks: list[dict[str, Any]] = []
        if self.ema:
            # The average of about the last tenth of the run.
            momentum = round(min(max(10 / steps, 1e-4), 0.02), 5)
            average = dict(ema_type="ExpMomentumEMA", momentum=momentum, gamma=max(steps // 20, 1))
            hooks.append(dict(type="EMAHook", **average))
        if round(self.frozen * epochs):
            hooks.append(
                dict(type="FreezeHook", module="network.backbone", until_epoch=round(self.frozen * epochs))
            )
        return hooks


_STRONG = ("mosaic", "warp", "mix_up", "colour")
RECIPES = (
    Recipe("steps"),
    Recipe(
        "strong",
        "mosaic, warp, mix-up and colours, one rate and then a cosine",
        strong=_STRONG,
        flat_cosine=True,
        ema=True,
    ),
    Recipe(
        "gentle",
        "as strong; the backbone is frozen at first, and its early layers learn slowly",
        strong=_STRONG,
        flat_cosine=True,
        ema=True,
        frozen=0.2,
        layer_decay=0.8,
    ),
    Recipe(
        "balanced",
        "as strong; pictures with rare classes are drawn more often",
        strong=_STRONG,
        flat_cosine=True,
        ema=True,
        class_balance=0.3,
    ),
    Recipe(
        "deim",
        "dense one-to-one matching (Huang et al. 2025): dense mosaics mixed up, matchability-aware loss",
        strong=("dense_mosaic", "dense_mix_up", "colour"),
        strong_until=0.6,
        flat_cosine=True,
        ema=True,
        classification="MatchabilityAwareLoss",
    ),
)


def choose_recipe(name: str | Recipe | None) -> Recipe:
    """The recipe of that name; without one "steps".

    Raises:
        InputError: there is none of that name.
    """
    if isinstance(name, Recipe):
        return name
    for recipe in RECIPES:
        if recipe.name == (name or RECIPES[0].name):
            return recipe
    raise InputError(f"--recipe {name}: it must be one of {', '.join(r.name for r in RECIPES)}")
