"""HGNetv2: PaddleClas' backbone of cheap layers whose outputs are all joined, as D-FINE uses it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from ...errors import InputError
from ...registry import MODELS
from ..layers import checkpointing as checkpointed
from ..layers.clamp import Clamp
from ..layers.fuse import folded
from .weights import load_weights


class Stage(NamedTuple):
    """A row of the table: channels in, within and out, blocks, layers a block."""

    in_channels: int
    hidden: int
    out_channels: int
    num_blocks: int
    num_layers: int


class Variant(NamedTuple):
    """Channels of the stem, the four stages, and whether activations are scaled and shifted."""

    stem: tuple[int, int]
    stages: tuple[Stage, Stage, Stage, Stage]
    affine: bool


def _variant(stem: tuple[int, int], *stages: tuple[int, int, int], layers: int) -> Variant:
    """Channels of the stem; of each stage those within and out, and its blocks; layers of every block."""
    inputs = (stem[1], *(out for _, out, _ in stages[:-1]))
    rows = [Stage(i, *stage, layers) for i, stage in zip(inputs, stages, strict=True)]
    return Variant(stem, tuple(rows), affine=layers < 6)  # type: ignore[arg-type]


VARIANTS = {
    "B0": _variant((16, 16), (16, 64, 1), (32, 256, 1), (64, 512, 2), (128, 1024, 1), layers=3),
    "B1": _variant((24, 32), (32, 64, 1), (48, 256, 1), (96, 512, 2), (192, 1024, 1), layers=3),
    "B2": _variant((24, 32), (32, 96, 1), (64, 384, 1), (128, 768, 3), (256, 1536, 1), layers=4),
    "B3": _variant((24, 32), (32, 128, 1), (64, 512, 1), (128, 1024, 3), (256, 2048, 1), layers=5),
    "B4": _variant((32, 48), (48, 128, 1), (96, 512, 1), (192, 1024, 3), (384, 2048, 1), layers=6),
    "B5": _variant((32, 64), (64, 128, 1), (128, 512, 2), (256, 1024, 5), (512, 2048, 2), layers=6),
    "B6": _variant((48, 96), (96, 192, 2), (192, 512, 3), (384, 1024, 6), (768, 2048, 3), layers=6),
}  # fmt: skip
_STAGE_STRIDES = (4, 8, 16, 32)
# The two coarser stages are light: a 1×1 convolution and a depthwise one of 5×5 for a full one of 3×3.
_LIGHT = (False, False, True, True)


class LearnableAffine(nn.Module):
    """One scale and one shift for a whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.bias


class HGConvolution(nn.Module):
    """Convolution, batch norm and, where wanted, ReLU with a learnable affine step."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        groups: int = 1,
        activate: bool = True,
        affine: bool = False,
        norm: type[nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.bn = norm(out_channels)
        self.act = nn.ReLU() if activate else nn.Identity()
        self.lab = LearnableAffine() if activate and affine else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.lab(self.act(self.bn(self.conv(x))))

    @torch.no_grad()
    def fused(self) -> nn.Module:
        """The same function, in evaluation, as a convolution and an activation: a map is touched once less.

        scale · relu(x) + bias is scale · x + bias that does not pass bias, to which zeros are taken.
        """
        weight, bias = folded(self.conv, self.bn)
        activation: nn.Module = self.act
        if isinstance(self.lab, LearnableAffine):
            scale, shift = self.lab.scale, self.lab.bias
            weight, bias, end = weight * scale, bias * scale + shift, float(shift)
            activation = Clamp(low=end) if scale >= 0 else Clamp(high=end)
        convolution = copy.deepcopy(self.conv)
        convolution.weight, convolution.bias = nn.Parameter(weight), nn.Parameter(bias)
        return nn.Sequential(convolution, activation)


class LightConvolution(nn.Module):
    """A 1×1 convolution that is not activated, and a depthwise one that is."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, affine: bool, norm: type[nn.Module]
    ) -> None:
        super().__init__()
        self.conv1 = HGConvolution(in_channels, out_channels, 1, activate=False, norm=norm)
        self.conv2 = HGConvolution(
            out_channels, out_channels, kernel_size, groups=out_channels, affine=affine, norm=norm
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class Stem(nn.Module):
    """Stride 4: two ways between its two strided convolutions, one of them a max-pool."""

    def __init__(self, hidden: int, out_channels: int, affine: bool, norm: type[nn.Module]) -> None:
        super().__init__()

        def convolution(*sizes: int) -> HGConvolution:
            return HGConvolution(*sizes, affine=affine, norm=norm)

        self.stem1 = convolution(3, hidden, 3, 2)
        self.stem2a = convolution(hidden, hidden // 2, 2)
        self.stem2b = convolution(hidden // 2, hidden, 2)
        self.stem3 = convolution(2 * hidden, hidden, 3, 2)
        self.stem4 = convolution(hidden, out_channels, 1)
        self.pool = nn.MaxPool2d(2, 1, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(self.stem1(x), (0, 1, 0, 1))
        convolved = self.stem2b(F.pad(self.stem2a(x), (0, 1, 0, 1)))
        return self.stem4(self.stem3(torch.cat((self.pool(x), convolved), dim=1)))


class Block(nn.Module):
    """Layers in a row whose outputs, with the input, are all joined and narrowed by two convolutions."""

    def __init__(
        self, stage: Stage, in_channels: int, light: bool, affine: bool, norm: type[nn.Module]
    ) -> None:
        super().__init__()
        hidden = stage.hidden
        inputs = (in_channels, *[hidden] * (stage.num_layers - 1))
        self.layers = nn.ModuleList(
            LightConvolution(channels, hidden, 5, affine, norm)
            if light
            else HGConvolution(channels, hidden, 3, affine=affine, norm=norm)
            for channels in inputs
        )
        total, out = in_channels + stage.num_layers * hidden, stage.out_channels
        self.aggregation = nn.Sequential(
            HGConvolution(total, out // 2, 1, affine=affine, norm=norm),
            HGConvolution(out // 2, out, 1, affine=affine, norm=norm),
        )
        # The first block of a stage changes the width, and has no shortcut.
        self.residual = in_channels == out

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        result = self.aggregation(torch.cat(outputs, dim=1))
        return result + x if self.residual else result


@MODELS.register_module()
class HGNetv2(nn.Module):
    """HGNetv2 that returns the maps of chosen strides; keys as timm's hgnetv2_b0, ….

    Args:
        variant: "B0" … "B6".
        strides: which maps to return, a subset of (4, 8, 16, 32).
        frozen_stages: -1 trains everything, 0 freezes the stem, n also the first n stages.
        norm: "frozen" for FrozenBatchNorm2d (eps 1e-5), "batch" for trainable BatchNorm2d.
        weights: a .pth or .safetensors file with these keys, as D-FINE's authors have converted PaddleClas'
            (PPHGNetV2_B0_stage1.pth), or None.
        checkpointing: recompute each stage in the backward pass instead of keeping its activations; not with
            norm="batch", whose statistics would be counted twice.

    Attributes:
        out_channels: channels of each returned map.

    Raises:
        InputError: an argument out of range, or weights that cannot be read or do not fit.
    """

    def __init__(
        self,
        variant: str = "B0",
        strides: Sequence[int] = (8, 16, 32),
        frozen_stages: int = -1,
        norm: str = "batch",
        weights: str | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self._check(variant, strides, frozen_stages, norm)
        if checkpointing and norm == "batch":
            raise InputError('HGNetv2: checkpointing=True with norm="batch" counts its statistics twice; '
                             'set norm="frozen" or checkpointing=False')  # fmt: skip
        self.variant, self.norm, self.frozen_stages = variant, norm, frozen_stages
        self.strides, self.checkpointing = tuple(sorted(strides)), checkpointing
        (hidden, out), rows, affine = VARIANTS[variant]
        layer = FrozenBatchNorm2d if norm == "frozen" else nn.BatchNorm2d
        self.stem = Stem(hidden, out, affine, layer)
        wanted = 1 + _STAGE_STRIDES.index(self.strides[-1])
        self.stages = nn.ModuleList(
            _stage(row, index, affine, layer) for index, row in enumerate(rows[:wanted])
        )
        self.out_channels = [rows[_STAGE_STRIDES.index(stride)].out_channels for stride in self.strides]
        if weights is not None:
            load_weights(self, weights, f"HGNetv2-{variant}")
        for part in self._frozen():
            part.requires_grad_(False)

    @staticmethod
    def _check(variant: str, strides: Sequence[int], frozen_stages: int, norm: str) -> None:
        for field, value, fits, allowed in (
            ("variant", variant, variant in VARIANTS, f"one of {', '.join(VARIANTS)}"),
            ("strides", strides, strides and set(strides) <= set(_STAGE_STRIDES),
             f"a non-empty subset of {_STAGE_STRIDES}"),
            ("frozen_stages", frozen_stages, frozen_stages in range(-1, 5),
             "-1 (none), 0 (the stem) … 4 (all)"),
            ("norm", norm, norm in ("frozen", "batch"), '"frozen" or "batch"'),
        ):  # fmt: skip
            if not fits:
                raise InputError(f"HGNetv2: {field}={value!r}; it must be {allowed}")

    def _frozen(self) -> list[nn.Module]:
        return [self.stem, *self.stages][: self.frozen_stages + 1]

    def train(self, mode: bool = True) -> HGNetv2:
        """Training mode; the batch statistics of frozen stages stay as they are."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def parameter_layers(self) -> dict[str, int]:
        """The layer of each parameter, 0 for the stem: what learning rates may decay by."""
        return {
            name: 1 + int(name.split(".")[1]) if name.startswith("stages.") else 0
            for name, _ in self.named_parameters()
        }

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> maps (B, out_channels[i], ⌈H / stride⌉, ⌈W / stride⌉), finest first."""
        x, maps = self.stem(images), []
        for stage, stride in zip(self.stages, _STAGE_STRIDES, strict=False):
            x = checkpointed.run(self.checkpointing, stage, x)
            if stride in self.strides:
                maps.append(x)
        return maps


class _Stage(nn.Module):
    def __init__(self, downsample: nn.Module, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.downsample, self.blocks = downsample, nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


def _stage(stage: Stage, index: int, affine: bool, norm: type[nn.Module]) -> _Stage:
    downsample: nn.Module = nn.Identity()
    channels = stage.in_channels
    if index > 0:
        downsample = HGConvolution(channels, channels, 3, 2, groups=channels, activate=False, norm=norm)
    inputs = (channels, *[stage.out_channels] * (stage.num_blocks - 1))
    return _Stage(downsample, [Block(stage, c, _LIGHT[index], affine, norm) for c in inputs])
