"""Networks by the names of their configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from . import models  # noqa: F401  registers the networks
from .config import read_config
from .registry import MODELS, build, without_pretrained


def build_network(
    config: str | Path | Config,
    *,
    num_classes: int | None = None,
    num_queries: int | None = None,
    pretrained_backbone: bool = False,
) -> nn.Module:
    """Build the network of a config.

    Args:
        config: a config's name ("deformable_detr_r50"), path, or a config read already.
        num_classes, num_queries: override the config's.
        pretrained_backbone: load the backbone's ImageNet weights, which may download them; without,
            the backbone starts random, as is right where a checkpoint follows.

    Returns:
        A network in training mode: net(images, padding_mask) -> DetectorOutput.

    Raises:
        InputError: no such config, or one that does not build.
    """
    config = config if isinstance(config, Config) else read_config(config)
    network: dict[str, Any] = config.model.network.to_dict()
    overrides = {"num_classes": num_classes, "num_queries": num_queries}
    network.update({key: value for key, value in overrides.items() if value is not None})
    if not pretrained_backbone:
        without_pretrained(network)
    return build(network, MODELS)
