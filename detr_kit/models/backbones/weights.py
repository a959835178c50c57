"""What a backbone learned elsewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from ...errors import InputError


def load_weights(backbone: nn.Module, weights: str, kind: str) -> None:
    """Load weights into a backbone; every tensor of it must be there, others are left out.

    Args:
        weights: a torchvision weights name, or a .pth or .safetensors file.
        kind: what the backbone is, for the message: "ResNet-50".

    Raises:
        InputError: they cannot be read, or do not fit.
    """
    state, wanted = read_weights(weights), backbone.state_dict()
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if missing or wrong:
        raise InputError(
            f"backbone weights {weights}: they do not fit {kind}: "
            f"{len(missing)} tensors missing (first: {missing[:1]}), {len(wrong)} of another shape "
            f"(first: {wrong[:1]}). Give weights of {kind} with the key names that "
            f"{type(backbone).__name__} says"
        )
    backbone.load_state_dict({k: t for k, t in state.items() if k in wanted}, strict=False)


def read_weights(weights: str) -> dict[str, Tensor]:
    """The tensors of a torchvision weights name, or of a .pth or .safetensors file.

    Raises:
        InputError: no such file or name, or it cannot be downloaded.
    """
    if weights.endswith((".pth", ".pt", ".safetensors")):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"backbone weights {weights}: no such file; correct model.network.backbone.weights, "
                "or set it to None to train from scratch"
            )
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("state_dict", state.get("model", state))
    try:
        return torchvision.models.get_weight(weights).get_state_dict(progress=True)
    except (ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"backbone weights {weights!r}: neither a .pth or .safetensors file nor a torchvision weights "
            'name such as "ResNet50_Weights.IMAGENET1K_V1"'
        ) from error
    except (URLError, OSError) as error:
        url = torchvision.models.get_weight(weights).url
        raise InputError(
            f"backbone weights {weights!r} could not be downloaded ({error}). On a machine with internet "
            f"access fetch {url}, and put it into {torch.hub.get_dir()}/checkpoints/ or give its path as "
            "model.network.backbone.weights (None trains from scratch)"
        ) from error
