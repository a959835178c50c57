"""The keys of ResNet-D in RT-DETR's code and in transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .resnet import blocks_of

_STEM_CONVOLUTIONS = ("conv1.0", "conv1.3", "conv1.6")
_STEM_NORMS = ("conv1.1", "conv1.4", "bn1")


def official_table() -> str:
    """Rules, see `rules`."""
    lines = []
    for i, (convolution, norm) in enumerate(zip(_STEM_CONVOLUTIONS, _STEM_NORMS, strict=True), start=1):
        lines += _pair(convolution, norm, f"backbone.conv1.conv1_{i}.conv", f"backbone.conv1.conv1_{i}.norm")
    for stage in range(4):
        block = f"backbone.res_layers.{stage}.blocks.{{i}}"
        for number, branch in enumerate(("branch2a", "branch2b", "branch2c"), start=1):
            names = f"layer{stage + 1}.{{i}}.conv{number}", f"layer{stage + 1}.{{i}}.bn{number}"
            lines += _pair(*names, f"{block}.{branch}.conv", f"{block}.{branch}.norm")
        # What pools first has one module more around the convolution.
        shortcut = f"{block}.short" if stage == 0 else f"{block}.short.conv"
        lines += _shortcut(stage, f"{shortcut}.conv", f"{shortcut}.norm")
    return "\n".join(lines)


def huggingface_table() -> str:
    """Rules, see `rules`."""
    lines = []
    for i, (convolution, norm) in enumerate(zip(_STEM_CONVOLUTIONS, _STEM_NORMS, strict=True)):
        theirs = f"model.backbone.model.embedder.embedder.{i}"
        lines += _pair(convolution, norm, f"{theirs}.convolution", f"{theirs}.normalization")
    for stage in range(4):
        block = f"model.backbone.model.encoder.stages.{stage}.layers.{{i}}"
        for number in range(1, 4):
            names = f"layer{stage + 1}.{{i}}.conv{number}", f"layer{stage + 1}.{{i}}.bn{number}"
            theirs = f"{block}.layer.{number - 1}"
            lines += _pair(*names, f"{theirs}.convolution", f"{theirs}.normalization")
        shortcut = f"{block}.shortcut" if stage == 0 else f"{block}.shortcut.1"
        lines += _shortcut(stage, f"{shortcut}.convolution", f"{shortcut}.normalization")
    return "\n".join(lines)


def transformers_config(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the same backbone over there."""
    blocks, is_deep = blocks_of(backbone["depth"])
    return {
        "model_type": "rt_detr_resnet",
        "layer_type": "bottleneck" if is_deep else "basic",
        "depths": list(blocks),
        "hidden_sizes": [256, 512, 1024, 2048] if is_deep else [64, 128, 256, 512],
        "out_features": ["stage2", "stage3", "stage4"],
    }


def _shortcut(stage: int, convolution: str, norm: str) -> list[str]:
    ours = f"layer{stage + 1}.{{i}}.downsample"
    return _pair(f"{ours}.1", f"{ours}.2", convolution, norm)


def _pair(our_convolution: str, our_norm: str, convolution: str, norm: str) -> list[str]:
    return [
        f"backbone.{our_convolution}.weight  {convolution}.weight",
        f"backbone.{our_norm}.{{rest}}  {norm}.{{rest}}",
    ]
