"""ResNet backbone: torchvision's layers, cut after the wanted strides."""

from __future__ import annotations

from collections.abc import Sequence

import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from ...errors import InputError
from ...registry import MODELS
from ..layers import checkpointing as checkpointed
from .resnet_d import make_resnet_d
from .weights import load_weights

_DEPTHS = (18, 34, 50, 101, 152)
_STAGE_STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class ResNet(nn.Module):
    """ResNet that returns the maps of chosen strides (He et al. 2016).

    Args:
        depth: 18, 34, 50, 101 or 152.
        strides: which maps to return, a subset of (4, 8, 16, 32), the names of the undilated stages.
        frozen_stages: -1 trains everything, 0 freezes the stem, n also layer1 … layern.
        norm: "frozen" for FrozenBatchNorm2d (eps 1e-5), "batch" for trainable BatchNorm2d.
        dilation: DC5, the last stage keeps the stride of the one before. True leaves its first block
            undilated, as torchvision and the original do; "all" dilates that too, as mmdet does.
        style: "pytorch" has the stride in the 3×3 convolution, "caffe" in the first 1×1. "d" is ResNet-D (He
            et al. 2019, figure 2): "pytorch" with three 3×3 convolutions in the stem, and shortcuts that
            average before they project; keys as timm's resnet18d, ….
        weights: a torchvision weights name ("ResNet50_Weights.IMAGENET1K_V1"), a .pth or .safetensors file
            with torchvision's keys, or None.
        checkpointing: recompute each stage in the backward pass instead of keeping its activations; not with
            norm="batch", whose statistics would be counted twice.

    Attributes:
        out_channels: channels of each returned map.

    Raises:
        InputError: an argument out of range, or weights that cannot be read or do not fit.
    """

    def __init__(
        self,
        depth: int = 50,
        strides: Sequence[int] = (8, 16, 32),
        frozen_stages: int = 1,
        norm: str = "frozen",
        dilation: bool | str = False,
        style: str = "pytorch",
        weights: str | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self._check(depth, strides, frozen_stages, norm, dilation, style)
        if checkpointing and norm == "batch":
            raise InputError('ResNet: checkpointing=True with norm="batch" counts its statistics twice; '
                             'set norm="frozen" or checkpointing=False')  # fmt: skip
        self.checkpointing = checkpointing
        layers = getattr(torchvision.models, f"resnet{depth}")(
            norm_layer=FrozenBatchNorm2d if norm == "frozen" else nn.BatchNorm2d,
            replace_stride_with_dilation=(False, False, bool(dilation)),
        )
        self.depth, self.norm, self.frozen_stages = depth, norm, frozen_stages
        self.strides = tuple(sorted(strides))
        if style == "d":
            make_resnet_d(layers)
        self.conv1, self.bn1, self.relu, self.maxpool = layers.conv1, layers.bn1, layers.relu, layers.maxpool
        for stage in range(1, 1 + _STAGE_STRIDES.index(self.strides[-1]) + 1):
            self.add_module(f"layer{stage}", getattr(layers, f"layer{stage}"))
        width = 64 if depth < 50 else 256
        self.out_channels = [width * stride // 4 for stride in self.strides]
        if dilation == "all":
            first = getattr(layers.layer4, "0").conv2
            first.dilation, first.padding = (2, 2), (2, 2)
        if style == "caffe":
            self._move_strides_to_first_convolution()
        if weights is not None:
            load_weights(self, weights, f"ResNet-{depth}{'-D' if style == 'd' else ''}")
        self._freeze()

    @staticmethod
    def _check(
        depth: int, strides: Sequence[int], frozen_stages: int, norm: str, dilation: bool | str, style: str
    ) -> None:
        def refuse(field: str, value: object, allowed: str) -> None:
            raise InputError(f"ResNet: {field}={value!r}; it must be {allowed}")

        if depth not in _DEPTHS:
            refuse("depth", depth, f"one of {_DEPTHS}")
        if not strides or not set(strides) <= set(_STAGE_STRIDES):
            refuse("strides", strides, f"a non-empty subset of {_STAGE_STRIDES}")
        if frozen_stages not in range(-1, 5):
            refuse("frozen_stages", frozen_stages, "-1 (none), 0 (the stem) … 4 (all)")
        if norm not in ("frozen", "batch"):
            refuse("norm", norm, '"frozen" or "batch"')
        if style not in ("pytorch", "caffe", "d"):
            refuse("style", style, '"pytorch", "caffe" or "d"')
        if dilation not in (False, True, "all"):
            refuse("dilation", dilation, 'False, True or "all"')
        if dilation and depth < 50:
            refuse("dilation", dilation, "False for ResNet-18 and -34, whose blocks cannot be dilated")
        if dilation and style == "d":
            refuse("dilation", dilation, 'False with style="d", whose shortcuts cannot be dilated')

    def _move_strides_to_first_convolution(self) -> None:
        for module in self.modules():
            if isinstance(module, torchvision.models.resnet.Bottleneck):
                module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride

    def _freeze(self) -> None:
        if self.frozen_stages >= 0:
            for module in (self.conv1, self.bn1):
                module.requires_grad_(False)
        for stage in range(1, self.frozen_stages + 1):
            if hasattr(self, f"layer{stage}"):
                getattr(self, f"layer{stage}").requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet:
        """Training mode; the batch statistics of frozen stages stay as they are."""
        super().train(mode)
        if mode and self.frozen_stages >= 0:
            self.conv1.eval()  # has norms of its own in a ResNet-D
            self.bn1.eval()
            for stage in range(1, self.frozen_stages + 1):
                if hasattr(self, f"layer{stage}"):
                    getattr(self, f"layer{stage}").eval()
        return self

    def parameter_layers(self) -> dict[str, int]:
        """The layer of each parameter, 0 for the stem, n for layern: what learning rates may decay by."""
        return {
            name: int(name[len("layer")]) if name.startswith("layer") else 0
            for name, _ in self.named_parameters()
        }

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> maps (B, out_channels[i], ⌈H / stride⌉, ⌈W / stride⌉), finest first."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for stage, stride in enumerate(_STAGE_STRIDES, start=1):
            if stride > self.strides[-1]:
                break
            x = checkpointed.run(self.checkpointing, getattr(self, f"layer{stage}"), x)
            if stride in self.strides:
                maps.append(x)
        return maps
