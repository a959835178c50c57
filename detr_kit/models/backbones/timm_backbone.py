"""Any network of timm as a backbone (Wightman, https://github.com/huggingface/pytorch-image-models)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...registry import MODELS
from .swin_windows import pad_before_shifting


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """A network of timm that returns the maps of chosen strides.

    Maps come from timm's `features_only`, whose keys are those of the network itself, under `model.`.

    Args:
        name: of the network, such as "convnext_tiny" or "swin_large_patch4_window12_384".
        strides: which maps to return.
        blocks: in place of strides, the numbers of blocks whose outputs are the maps: a ViT has one stride.
        options: what the network is built with besides, as timm has it. For images of any size a Swin
            Transformer needs dict(strict_img_size=False, always_partition=True), a ViT
            dict(dynamic_img_size=True).
        norm: "frozen" keeps batch norms, where there are any, as they were trained; "batch" trains them.
        frozen: beginnings of parameters' names that do not learn, such as ("stem", "stages.0"); ("",) is all.
        map_norm: a LayerNorm after each map, as detectors with a Swin Transformer have.
        pretrained: load timm's weights, which may download them; a text names which, such as "ms_in22k".
        weights: a .pth or .safetensors file with timm's keys.
        checkpointing: recompute stages in the backward pass instead of keeping their activations; not where
            there are batch norms that learn, whose statistics would be counted twice.

    Attributes:
        out_channels: channels of each returned map; strides: of each.

    Raises:
        InputError: timm is missing, has no such network or no such maps of it, weights do not fit or cannot
            be fetched, or an argument is out of range.
    """

    def __init__(
        self,
        name: str,
        *,
        strides: Sequence[int] = (8, 16, 32),
        blocks: Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        norm: str = "frozen",
        frozen: Sequence[str] = (),
        map_norm: bool = False,
        pretrained: bool | str = False,
        weights: str | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if norm not in ("frozen", "batch"):
            raise InputError(f'TimmBackbone: norm={norm!r}; it must be "frozen" or "batch"')
        options = dict(options or {})
        if blocks is None:
            blocks = _indices_of(name, strides, options)
        features = _create(name, options, pretrained, tuple(blocks))
        self.model, info = features.model, features.feature_info
        self.blocks = list(blocks)
        self.out_channels, self.strides = list(info.channels()), tuple(info.reduction())
        pad_before_shifting(self.model)
        patch = getattr(getattr(self.model, "patch_embed", None), "patch_size", (1, 1))
        self._multiple_of = (int(patch[0]), int(patch[1]))
        if norm == "frozen":
            from timm.utils.model import freeze_batch_norm_2d

            self.model = freeze_batch_norm_2d(self.model)
        elif checkpointing and any(isinstance(module, nn.BatchNorm2d) for module in self.model.modules()):
            raise InputError(
                'TimmBackbone: checkpointing=True with norm="batch" counts its statistics twice; set '
                'norm="frozen" or checkpointing=False'
            )
        self.checkpointing = checkpointing
        self.map_norms = nn.ModuleList(nn.LayerNorm(c) for c in self.out_channels) if map_norm else None
        if weights is not None:
            self.load_weights(weights)
        self._freeze(frozen)
        self.train()

    def _freeze(self, frozen: Sequence[str]) -> None:
        named = dict(self.model.named_parameters())
        for beginning in frozen:
            found = [p for name, p in named.items() if name.startswith(beginning)]
            if not found:
                parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in named))
                raise InputError(
                    f"TimmBackbone: frozen={beginning!r} begins no parameter of it; they begin with {parts}"
                )
            for parameter in found:
                parameter.requires_grad_(False)

    def load_weights(self, weights: str) -> None:
        """Load a file with timm's keys; every key of the maps must be there, a classifier's is left."""
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"backbone weights {weights}: no such file; correct model.network.backbone.weights, or set "
                "it to None to train from scratch"
            )
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state.get("model", state))
        own = self.model.state_dict()
        missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
        wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
        if missing or wrong:
            raise InputError(
                f"backbone weights {weights}: {len(missing)} tensors missing (first: {missing[:1]}), "
                f"{len(wrong)} of another shape (first: {wrong[:1]}); give weights of the same network with "
                "timm's keys"
            )
        self.model.load_state_dict({key: state[key] for key in own if key in state}, strict=False)

    def train(self, mode: bool = True) -> TimmBackbone:
        """Training mode, or evaluation, where nothing is recomputed, so that what is exported is plain."""
        if self.checkpointing:
            self.model.set_grad_checkpointing(mode)
        return super().train(mode)

    def parameter_layers(self) -> dict[str, int]:
        """The layer of each parameter, from 0 for the stem: what learning rates may decay by."""
        from timm.models import group_parameters

        layers = group_parameters(self.model, self.model.group_matcher(coarse=False), reverse=True)
        named = {f"model.{name}": int(layer) for name, layer in layers.items()}
        last = max(named.values())
        return named | {name: last for name, _ in self.named_parameters() if name not in named}

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> maps (B, out_channels[i], ·, ·).

        Where the network cuts images in patches, they are padded with zeros to whole ones, at the right and
        below.
        """
        height, width = images.shape[-2:]
        below, right = -height % self._multiple_of[0], -width % self._multiple_of[1]
        if below or right:
            images = F.pad(images, (0, right, 0, below))
        maps: list[Tensor] = self.model.forward_intermediates(
            images, indices=self.blocks, norm=False, output_fmt="NCHW", intermediates_only=True
        )
        if self.map_norms is None:
            return maps
        pairs = zip(self.map_norms, maps, strict=True)
        return [norm(m.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for norm, m in pairs]


def _create(
    name: str, options: Mapping[str, Any], pretrained: bool | str, indices: Sequence[int] | None
) -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"TimmBackbone: {name} is a network of timm, which is not installed; pip install 'detr-kit[timm]'"
        ) from error
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise InputError(f"TimmBackbone: timm {timm.__version__} has no network {name!r}{hint}")
    tagged = f"{name}.{pretrained}" if isinstance(pretrained, str) else name
    wanted: dict[str, Any] = {} if indices is None else {"out_indices": tuple(indices)}
    try:
        return timm.create_model(
            tagged, pretrained=bool(pretrained), features_only=True, feature_cls="getter", **wanted, **options
        )
    except (TypeError, AttributeError, AssertionError, IndexError) as error:
        raise InputError(
            f"TimmBackbone: {name} cannot be built for its maps with {wanted | dict(options)} ({error}); "
            "correct options and blocks, or take another network"
        ) from error
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise InputError(
            f"TimmBackbone: timm's weights of {tagged} cannot be had ({error}); set "
            "model.network.backbone.weights to a file with them, or pretrained=False to train from scratch"
        ) from error


def _indices_of(name: str, strides: Sequence[int], options: Mapping[str, Any]) -> list[int]:
    """timm's numbers of the maps of some strides."""
    with torch.device("meta"):  # only its shape is of interest
        info = _create(name, options, False, None).feature_info
    has = {int(entry["reduction"]): int(entry["index"]) for entry in info.get_dicts()}
    if len(has) == 1 and len(info.out_indices) > 1:
        raise InputError(
            f"TimmBackbone: every map of {name} has the stride {next(iter(has))}; give blocks=(…) in place "
            "of strides"
        )
    unknown = [stride for stride in strides if stride not in has]
    if not strides or unknown:
        raise InputError(
            f"TimmBackbone: strides={tuple(strides)}, and {name} has maps of the strides "
            f"{', '.join(map(str, sorted(has)))}"
        )
    return [has[stride] for stride in sorted(strides)]
