"""Loading a checkpoint of any known format into a network, and saying what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..categories import Categories
from ..errors import InputError
from .convert import CheckpointFormat, convert_state_dict, detect_format
from .files import CheckpointFile, read_checkpoint


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` did.

    Attributes:
        path: the file; format: whose keys it had, with the architecture.
        loaded: tensors taken over; converted: those of them that had another name in the file.
        reinitialised: tensors of another shape, which keep the network's own values.
        missing: tensors of the network that the file does not have.
        unexpected: tensors of the file that the network does not have.
        categories: the classes that the file says it was trained on.
    """

    path: str
    format: CheckpointFormat
    loaded: list[str]
    converted: list[str]
    reinitialised: list[str]
    missing: list[str]
    unexpected: list[str]
    categories: Categories | None

    def __str__(self) -> str:
        parts = [f"{self.path}: {self.format} checkpoint of {self.format.architecture.config_name}"]
        for name in ("loaded", "converted", "reinitialised", "missing", "unexpected"):
            keys = getattr(self, name)
            example = (
                f" ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})" if name not in _COUNTS else ""
            )
            if keys or name in _COUNTS:
                parts.append(f"{len(keys)} {name}{example if keys else ''}")
        return ", ".join(parts)


_COUNTS = ("loaded", "converted")


def load_checkpoint(network: nn.Module, path: str | Path, *, strict: bool = False) -> LoadReport:
    """Load weights of any known format into a network.

    Heads of another number of classes are left as the network has them, as fine-tuning wants.

    Args:
        network: built by `build_network` or like it.
        path: .pth, .pt or .safetensors.
        strict: every tensor of the network has to come from the file.

    Raises:
        InputError: the file cannot be read, is of another model, or (strict) does not fit exactly.
    """
    return load_state(network, read_checkpoint(path), str(path), strict=strict)


def load_state(network: nn.Module, file: CheckpointFile, path: str, *, strict: bool = False) -> LoadReport:
    """`load_checkpoint` for a file that is read already."""
    state = strip_wrapper(file.state_dict)
    try:
        found = detect_format(state)
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from error
    ours = convert_state_dict(state)
    original = {id(tensor) for key, tensor in state.items() if key in ours and ours[key] is tensor}
    own = network.state_dict()
    fitting = {k: t for k, t in ours.items() if k in own and own[k].shape == t.shape}
    reinitialised = [k for k in ours if k in own and own[k].shape != ours[k].shape]
    missing = [k for k in own if k not in ours and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in ours if k not in own and not k.endswith("num_batches_tracked")]
    _refuse_foreign(network, found, own, fitting, path)
    if strict and (reinitialised or missing or unexpected):
        raise InputError(
            f"checkpoint {path}: it is of {found.architecture.config_name} with "
            f"{found.architecture.num_classes} classes and does not fit this network: {len(missing)} tensors "
            f"missing {missing[:2]}, {len(unexpected)} unexpected {unexpected[:2]}, {len(reinitialised)} of "
            f"another shape {reinitialised[:2]}. Use the config it was trained with"
        )
    network.load_state_dict(fitting, strict=False)
    return LoadReport(
        path=path,
        format=found,
        loaded=list(fitting),
        converted=[k for k, t in fitting.items() if id(t) not in original],
        reinitialised=reinitialised,
        missing=missing,
        unexpected=unexpected,
        categories=Categories.from_metadata(file.metadata),
    )


def strip_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own keys out of a training checkpoint (`network.` and DistributedDataParallel's)."""
    for prefix in ("module.", "network."):
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
    return dict(state)


def _refuse_foreign(
    network: nn.Module,
    found: CheckpointFormat,
    own: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
    path: str,
) -> None:
    if len(fitting) < 0.5 * len(own):
        raise InputError(
            f"checkpoint {path}: it is of {found.architecture.config_name}, and only {len(fitting)} of the "
            f"{len(own)} tensors of this {type(network).__name__} fit; choose the config of the checkpoint"
        )
