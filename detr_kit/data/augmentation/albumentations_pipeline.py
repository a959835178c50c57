"""Transforms of Albumentations beside ours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...registry import TRANSFORMS
from .scene import Scene, SceneTransform


@TRANSFORMS.register_module()
class Albumentations(SceneTransform):
    """A pipeline of Albumentations, as one transform among the others.

    ```
    dict(type="Albumentations", transforms=dict(MotionBlur=dict(p=0.2), RandomRain=dict(p=0.1)))
    ```

    It is seeded anew for each picture by torch's global generator, as all else is.

    Args:
        transforms: name -> arguments, applied in this order; or finished transforms of Albumentations.
        min_visible: share of a box that has to be left.
        p: how often.

    Raises:
        InputError: Albumentations is missing, has no transform of a name, or refuses its arguments.
    """

    def __init__(
        self,
        transforms: Mapping[str, Mapping[str, Any]] | Sequence[Any],
        min_visible: float = 0.25,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for a newer version
        try:
            import albumentations
        except ImportError as error:
            raise InputError(
                "Albumentations: the package is not installed; pip install 'detr-kit[albumentations]'"
            ) from error
        if isinstance(transforms, Mapping):
            transforms = [_build(albumentations, name, options) for name, options in transforms.items()]
        boxes = albumentations.BboxParams(
            format="pascal_voc", label_fields=["labels"], min_visibility=min_visible, clip=True
        )
        self.pipeline = albumentations.Compose(list(transforms), bbox_params=boxes)

    def change(self, scene: Scene) -> Scene:
        """What Albumentations makes of it."""
        self.pipeline.set_random_seed(int(torch.randint(2**31 - 1, ())))
        out = self.pipeline(image=scene.pixels, bboxes=scene.boxes.numpy(), labels=scene.labels.numpy())
        boxes = torch.as_tensor(np.asarray(out["bboxes"], dtype=np.float32)).reshape(-1, 4)
        labels = torch.as_tensor(np.asarray(out["labels"], dtype=np.int64)).reshape(-1)
        return Scene(np.ascontiguousarray(out["image"]), boxes, labels)


def _build(albumentations: Any, name: str, options: Mapping[str, Any]) -> Any:
    factory = getattr(albumentations, name, None)
    if not (isinstance(factory, type) and issubclass(factory, albumentations.BasicTransform)):
        raise InputError(f"Albumentations: it has no transform {name!r}")
    try:
        return factory(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"Albumentations: {name}: {error}") from error
